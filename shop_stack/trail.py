"""An event's name followed through the house: where it is declared, sent, received, staged, counted, asked and shown.

Read from the code and the SQL as they lie on disk, so that it cannot be out of date; nothing is run or connected.
"""

import ast
import difflib
import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import get_type_hints

import msgspec

from shop_stack.errors import SettingError
from shop_stack.events import CONTRACTS, Event
from shop_stack.hosting.cards import card_of
from shop_stack.stack import read_stack

ROOT = Path(__file__).parents[1]
SERVICES = "shop_stack/services"
# Who else sends and reads events, beside the services and their cards.
OTHER_ROOMS = ("shop_stack/operations", "shop_stack/eventlog", "shop_stack/traffic", "analytics")
SCREENS = ("console", "dashboard")
_SQL_ROOMS = ("marts", "series", "questions", "checks")
_MODULE = re.compile(r"\b(?:\w+\.)+(?=\w)")


class Place(msgspec.Struct, frozen=True, order=True):
    """A line of the house; `who` is the service, room or SQL object there."""

    who: str
    path: str
    line: int = 1


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """All stations of one event. `fields` maps a field of its data to its type; `tables` are staging views and marts
    in the order of reading; `kept_days` is None for ever."""

    name: str
    type: str
    topic: str
    partitions: int
    kept_days: float | None
    purpose: str
    fields: dict[str, str]
    contract: Place
    publishers: list[Place]
    consumers: list[Place]
    tables: list[Place]
    questions: list[Place]
    checks: list[Place]
    screens: list[Place]


def find_contract(name: str) -> type[Event]:
    """The contract of that class name or CloudEvents type, in any case. Raises SettingError naming the nearest."""
    known = {word: c for c in CONTRACTS.values() for word in (c.__name__, c.type)}
    folded = {word.lower(): contract for word, contract in known.items()}
    if name.lower() in folded:
        return folded[name.lower()]
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
    meant = ", ".join(dict.fromkeys(folded[word].__name__ for word in near))
    hint = f"did you mean: {meant}?" if meant else "see shop_stack/events for those there are"
    raise SettingError(f"no event is called {name!r}; {hint}")


def trail_of(contract: type[Event], root: Path = ROOT) -> Trail:
    """Follow a contract through the house below `root`."""
    read = dict(_reached(contract.type, root))
    questions = sorted(place for place in read.values() if "/questions/" in place.path)
    return Trail(
        name=contract.__name__,
        type=contract.type,
        topic=contract.topic.name,
        partitions=contract.topic.partitions,
        kept_days=contract.topic.retention_days,
        purpose=inspect.cleandoc(contract.__doc__ or ""),
        fields={name: _MODULE.sub("", _spelled(kind)) for name, kind in _hints(contract).items()},
        contract=_place_of(contract, contract.__name__, root),
        publishers=sorted(_publishers(contract, root)),
        consumers=sorted(_consumers(contract, root)),
        tables=[place for place in read.values() if re.search("/(staging|marts|series)/", place.path)],
        questions=questions,
        checks=sorted(place for place in read.values() if "/checks/" in place.path),
        screens=sorted(_screens(contract.__name__, {place.who for place in questions}, root)),
    )


def _hints(contract: type[Event]) -> dict[str, object]:
    hints = get_type_hints(contract)
    return {name: hints[name] for name in contract.__struct_fields__}


def _spelled(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def _place_of(thing: object, who: str, root: Path) -> Place:
    """Where a class or function begins."""
    path = Path(inspect.getsourcefile(thing) or "")  # type: ignore[arg-type]
    return Place(who, path.relative_to(root).as_posix(), inspect.getsourcelines(thing)[1])  # type: ignore[arg-type]


def _publishers(contract: type[Event], root: Path) -> Iterator[Place]:
    cards = [card_of(spec.name) for spec in read_stack().services]
    for name in (card.name for card in cards if contract in card.publications):
        yield from _used(contract.__name__, f"{SERVICES}/{name}", name, root, made=True)
    if any(contract in card.publications for card in cards):
        shared = sorted((root / SERVICES).glob("*.py"))
        yield from _uses(contract.__name__, "every service", shared, root, made=True)
    for room in OTHER_ROOMS:
        yield from _used(contract.__name__, room, Path(room).name, root, made=True)


def _consumers(contract: type[Event], root: Path) -> Iterator[Place]:
    for card in (card_of(spec.name) for spec in read_stack().services):
        if contract in card.subscriptions:
            yield _place_of(card.subscriptions[contract], card.name, root)
    for room in OTHER_ROOMS:
        yield from _used(contract.__name__, room, Path(room).name, root, made=False)


def _used(name: str, folder: str, who: str, root: Path, made: bool) -> Iterator[Place]:
    yield from _uses(name, who, sorted((root / folder).rglob("*.py")), root, made)


def _uses(name: str, who: str, files: Iterable[Path], root: Path, made: bool) -> Iterator[Place]:
    """The first line of each file that makes what has that name, or that asks whether an event is one."""
    for path in files:
        lines = [line for line, makes in _named(name, _code(path)) if makes == made]
        if lines:
            yield Place(who, path.relative_to(root).as_posix(), min(lines))


@cache
def _code(path: Path) -> tuple[ast.AST, ...]:
    """The calls, names, attributes and constants of a module."""
    wanted = (ast.Call, ast.Name, ast.Attribute, ast.Constant)
    return tuple(node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, wanted))


def _named(name: str, nodes: Iterable[ast.AST]) -> Iterator[tuple[int, bool]]:
    """(line, whether it is made there): a call makes it; `isinstance` and its `type` ask. A type hint does neither."""
    for node in nodes:
        if isinstance(node, ast.Call) and _is(node.func, name):
            yield node.lineno, True
        elif isinstance(node, ast.Call) and _is(node.func, "isinstance"):
            if any(_is(part, name) for part in ast.walk(node.args[1])):
                yield node.lineno, False
        elif isinstance(node, ast.Attribute) and node.attr == "type" and _is(node.value, name):
            yield node.lineno, False


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _reached(kind: str, root: Path) -> Iterator[tuple[str, Place]]:
    """The SQL objects that read events of this type, by name: first those that name it, then who reads those."""
    folder = root / "analytics" / "sql"
    texts = {path.stem: (path, path.read_text()) for room in ("staging", *_SQL_ROOMS)
             for path in sorted((folder / room).glob("*.sql"))}  # fmt: skip
    fresh = {name for name, (_, text) in texts.items() if f"'{kind}'" in text}
    seen: set[str] = set()
    while fresh:
        for name in [name for name in texts if name in fresh]:
            yield name, Place(name, texts[name][0].relative_to(root).as_posix())
        seen |= fresh
        words = re.compile(rf"\b(?:from|join)\s+(?:{'|'.join(map(re.escape, sorted(seen)))})\b")
        fresh = {name for name, (_, text) in texts.items() if name not in seen and words.search(text)}


def _screens(name: str, questions: set[str], root: Path) -> Iterator[Place]:
    """The modules of the screens that ask one of these questions, or know the event by its name."""
    for room in SCREENS:
        for path in sorted((root / room).rglob("*.py")):
            found = list(_asked(_code(path), name, questions))
            for asked in dict.fromkeys(what for what, _ in found):
                first = min(line for what, line in found if what == asked)
                yield Place(f"{room} asks {asked}" if asked else room, path.relative_to(root).as_posix(), first)


def _asked(nodes: Iterable[ast.AST], name: str, questions: set[str]) -> Iterator[tuple[str, int]]:
    for node in nodes:
        if isinstance(node, ast.Constant) and node.value in questions:
            yield str(node.value), node.lineno
        elif _is(node, name):
            yield "", node.lineno  # type: ignore[attr-defined]
