"""JSON Schemas of the events, for readers in other languages: the CloudEvents envelope with the contract as `data`."""

import inspect
from pathlib import Path
from typing import Any

import msgspec

from shop_stack.events import CONTRACTS, Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ENVELOPE: dict[str, dict[str, Any]] = {
    "specversion": {"const": "1.0"},
    "id": {"type": "string", "description": "UUIDv7; UUIDv5 of imported data. A repeat has the same id."},
    "source": {"type": "string", "description": "Who published it, such as /orders."},
    "subject": {"type": "string", "description": "The aggregate's id."},
    "time": {"type": "string", "format": "date-time", "description": "When it was decided, UTC."},
    "datacontenttype": {"const": "application/json"},
    "partitionkey": {"type": "string", "description": "Equal to the subject."},
    "sequence": {"type": "integer", "minimum": 1, "description": "The aggregate's version, gapless from 1."},
    "traceparent": {"type": "string", "description": "W3C trace context."},
    "correlationid": {"type": "string", "description": "The order (or session) that it belongs to."},
    "causationid": {"type": "string", "description": "The event or request that led here."},
}
_ALWAYS = ("specversion", "id", "source", "type", "subject", "time", "data")


def schema_of(contract: type[Event]) -> dict[str, Any]:
    """The JSON Schema of one event as it lies on the log. Unknown fields may come with later minor changes."""
    (reference,), parts = msgspec.json.schema_components([contract], ref_template="#/$defs/{name}")
    data = parts.pop(contract.__name__)
    assert reference == {"$ref": f"#/$defs/{contract.__name__}"}
    properties = {**_ENVELOPE, "type": {"const": contract.type}, "data": data}
    found: dict[str, Any] = {
        "$schema": DIALECT,
        "$id": f"urn:shopfloor:{contract.type}",
        "title": contract.__name__,
        "description": inspect.cleandoc(contract.__doc__ or ""),
        "x-topic": contract.topic.name,
        "type": "object",
        "required": list(_ALWAYS),
        "properties": properties,
    }
    return found | ({"$defs": parts} if parts else {})


def written(contract: type[Event]) -> str:
    """The schema as the text of a file."""
    return msgspec.json.format(msgspec.json.encode(schema_of(contract)), indent=2).decode() + "\n"


def write_schemas(folder: Path) -> int:
    """Write TYPE.schema.json for every contract; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    for contract in CONTRACTS.values():
        (folder / f"{contract.type}.schema.json").write_text(written(contract))
    return len(CONTRACTS)
