"""`shopfloor trace-event`: where an event is declared, sent, received, staged, counted, asked and shown."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from shop_stack.commands.frame import Subparsers, parser_of, print_json, takes_json
from shop_stack.errors import SettingError
from shop_stack.schemas import schema_of, write_schemas
from shop_stack.trail import Place, Trail, find_contract, trail_of

_EXAMPLES = """  shopfloor trace-event OrderPlaced
  shopfloor trace-event shop.order.placed.v1 --json
  shopfloor trace-event OrderPlaced --schema        its JSON Schema, for readers in other languages
  shopfloor trace-event --schemas docs/events       those of all events, a file each"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    purpose = "follow an event through the house, from its contract to the screens"
    parser = parser_of(subparsers, "trace-event", purpose, _EXAMPLES, run)
    parser.add_argument("name", nargs="?", help="the event's name or CloudEvents type")
    parser.add_argument("--schema", action="store_true", help="print the event's JSON Schema instead")
    parser.add_argument("--schemas", type=Path, metavar="FOLDER", help="write the JSON Schemas of all events there")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; 2 for an event that is not known."""
    if arguments.schemas is not None:
        print(f"{write_schemas(arguments.schemas)} schemas written to {arguments.schemas}")
        return 0
    if arguments.name is None:
        raise SettingError("name an event, such as: shopfloor trace-event OrderPlaced")
    contract = find_contract(arguments.name)
    if arguments.schema:
        print_json(schema_of(contract))
        return 0
    found = trail_of(contract)
    if arguments.json:
        print_json(found)
    else:
        print("\n".join(told(found)))
    return 0


def told(trail: Trail) -> Iterator[str]:
    """The trail in lines."""
    kept = "for ever" if trail.kept_days is None else f"{trail.kept_days:g} days"
    yield f"{trail.name}   {trail.type}   on {trail.topic}: {trail.partitions} partitions, kept {kept}"
    yield from (f"  {line}" for line in trail.purpose.splitlines())
    yield ""
    width = max((len(name) for name in trail.fields), default=0)
    yield from _station("fields", [f"{name:<{width}}  {kind}" for name, kind in trail.fields.items()])
    yield from _station("contract", _places([trail.contract]))
    yield from _station("published", _places(trail.publishers))
    yield from _station("consumed", [*_places(trail.consumers), "analytics keeps every event in raw_events"])
    yield from _station("tables", _places(trail.tables))
    yield from _station("questions", _places(trail.questions))
    yield from _station("checks", _places(trail.checks))
    yield from _station("screens", [*_places(trail.screens), "console: the event tail shows every event but samples"])


def _places(places: Sequence[Place]) -> list[str]:
    width = max((len(place.who) for place in places), default=0)
    return [f"{place.who:<{width}}  {place.path}{f':{place.line}' if place.line > 1 else ''}" for place in places]


def _station(name: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines or ["–"]):
        yield f"{name if number == 0 else '':<10} {line}"
