"""Writes one payload for each event contract that has none yet; kept ones are never rewritten."""

from datetime import UTC, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from shop_stack.envelope import Envelope, encode
from shop_stack.events import CONTRACTS

FOLDER = Path(__file__).parent / "old_payloads"
_PLAIN: dict[type, Any] = {
    str: "text",
    int: 3,
    float: 1.5,
    bool: True,
    datetime: datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
}


def example(kind: Any) -> Any:
    """A value of a field's type."""
    origin = get_origin(kind)
    if origin is UnionType:
        return example(next(part for part in get_args(kind) if part is not NoneType))
    if origin is list:
        return [example(get_args(kind)[0])]
    if origin is dict:
        return {example(get_args(kind)[0]): example(get_args(kind)[1])}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return kind(**{name: example(hints[name]) for name in kind.__struct_fields__})
    return _PLAIN[kind]


def main() -> None:
    """Keep what is not kept yet."""
    FOLDER.mkdir(exist_ok=True)
    for contract in CONTRACTS.values():
        path = FOLDER / f"{contract.type}.json"
        if not path.exists():
            envelope = Envelope(id=f"kept-{contract.__name__}", source="/kept", subject="s", data=example(contract),
                                time=datetime(2026, 11, 22, 12, 0, tzinfo=UTC), sequence=1)  # fmt: skip
            path.write_bytes(encode(envelope) + b"\n")


if __name__ == "__main__":
    main()
