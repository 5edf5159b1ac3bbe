"""The demo's drill sheet: what a story asks of the live shoppers and of a service, as one file in the home folder."""

import os
from pathlib import Path

import msgspec

from shop_stack.settings import Home


class Drill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`shoppers` multiplies the arrival rate; `delays_s` makes each request of a service hold its worker longer."""

    story: str = "none"
    shoppers: float = 1.0
    delays_s: dict[str, float] = {}


def drill_path(home: Home) -> Path:
    """Where the sheet lies; absent when no story plays."""
    return home.path / "drill.json"


def read_drill(home: Home) -> Drill:
    """The sheet in force; an absent or torn one asks for nothing."""
    try:
        return msgspec.json.decode(drill_path(home).read_bytes(), type=Drill)
    except (OSError, msgspec.MsgspecError):
        return Drill()


def write_drill(home: Home, drill: Drill) -> None:
    """Put a sheet in force by rename."""
    fresh = drill_path(home).with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(drill))
    os.replace(fresh, drill_path(home))
