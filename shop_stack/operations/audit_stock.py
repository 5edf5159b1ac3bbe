"""The books' invariants over stock: never below zero after any commit, and nothing appears or vanishes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shop_stack.operations.audit import NO_EXCUSES, Excuses, Invariant, Tally


class LevelRow(NamedTuple):
    """A stock item's units as they are now."""

    product_id: str
    available: int
    reserved: int
    sold: int


class StockChange(NamedTuple):
    """An event of a stock item, in the order of its commits: units that came (`received`), or its levels after it."""

    product_id: str
    received: int | None
    available: int = 0
    reserved: int = 0
    sold: int = 0


class ReservationRow(NamedTuple):
    """What an order holds or held: (product, units) of each line."""

    order_id: str
    state: str
    lines: list[tuple[str, int]]


@dataclass
class StockHistory:
    """What the changes of all stock items come to; `negatives` and `leaks` are (product, sentence)."""

    rows: int = 0
    negatives: list[tuple[str, str]] = field(default_factory=list)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    received: dict[str, int] = field(default_factory=dict)
    last: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def stock_history(changes: Iterable[StockChange]) -> StockHistory:
    """Fold the changes, each product's in the order of its commits."""
    history = StockHistory()
    received, last = history.received, history.last
    for product_id, came, available, reserved, sold in changes:
        history.rows += 1
        if came is not None:
            received[product_id] = received.get(product_id, 0) + came
            continue
        last[product_id] = (available, reserved, sold)
        if available < 0 or reserved < 0 or sold < 0:
            words = f"had {available} available, {reserved} reserved and {sold} sold after a commit"
            history.negatives.append((product_id, words))
        if available + reserved + sold != received.get(product_id, 0):
            words = f"had {available} + {reserved} + {sold} units after a commit and had received "
            history.leaks.append((product_id, f"{words}{received.get(product_id, 0)}"))
    return history


def stock_never_negative(history: StockHistory, levels: Iterable[LevelRow], excuses: Excuses = NO_EXCUSES) -> Invariant:
    """No stock item had less than nothing available, reserved or sold, after any commit and now."""
    tally = Tally("stock_never_negative", excuses)
    tally.rows = history.rows
    for product_id, words in history.negatives:
        tally.difference(product_id, words)
    for level in levels:
        tally.rows += 1
        if level.available < 0 or level.reserved < 0 or level.sold < 0:
            words = f"has {level.available} available, {level.reserved} reserved and {level.sold} sold"
            tally.difference(level.product_id, words)
    return tally.result()


def stock_adds_up(
    history: StockHistory,
    levels: Iterable[LevelRow],
    reservations: Iterable[ReservationRow],
    excuses: Excuses = NO_EXCUSES,
) -> Invariant:
    """Available + reserved + sold = received for each product, after any commit and now; and orders hold just that."""
    tally = Tally("stock_adds_up", excuses)
    tally.rows = history.rows
    for product_id, words in history.leaks:
        tally.difference(product_id, words)
    held, gone = _by_orders(reservations)
    for product_id, available, reserved, sold in levels:
        tally.rows += 1
        came = history.received.get(product_id, 0)
        if available + reserved + sold != came:
            tally.difference(product_id, f"has {available} + {reserved} + {sold} units and received {came}")
        if (reserved, sold) != (held.get(product_id, 0), gone.get(product_id, 0)):
            words = f"has {reserved} reserved and {sold} sold, and orders hold {held.get(product_id, 0)}"
            tally.difference(product_id, f"{words} and bought {gone.get(product_id, 0)}")
        if history.last.get(product_id, (0, 0, 0)) != (available, reserved, sold):
            tally.difference(product_id, f"has levels that differ from its last event: {history.last.get(product_id)}")
    return tally.result()


def _by_orders(reservations: Iterable[ReservationRow]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Units by product: held by reservations, and sold to orders."""
    held: dict[str, int] = {}
    gone: dict[str, int] = {}
    for _, state, lines in reservations:
        counts = held if state == "reserved" else gone if state == "sold" else None
        if counts is not None:
            for product_id, units in lines:
                counts[product_id] = counts.get(product_id, 0) + units
    return held, gone
