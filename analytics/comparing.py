"""Holds two warehouses in one process against each other: by what each says to the same measures, differences named."""

import math
from collections.abc import Iterator, Mapping

from analytics.statements import names, statement
from analytics.warehouse import Warehouse, WarehouseError

Measures = dict[str, dict[str, dict[str, object]] | None]
_NEAR = 1e-9  # sums of doubles depend on the order in which they are added


def measures(warehouse: Warehouse, database: str) -> Measures:
    """What one of the warehouse's databases says, by measure, place and column; None where it cannot say."""
    return {name: _measure(warehouse, database, name) for name in names("comparison")}


def _measure(warehouse: Warehouse, database: str, name: str) -> dict[str, dict[str, object]] | None:
    try:
        rows = warehouse.within(database, statement(f"comparison/{name}")).dictionaries()
    except WarehouseError:
        return None
    return {str(row.pop("place")): row for row in rows}


def differences(old: Measures, new: Measures) -> Iterator[str]:
    """A sentence for each value that is not the same in both."""
    for name, fresh in new.items():
        before = old.get(name)
        if before is None or fresh is None:
            yield f"{name}: the {'old' if before is None else 'new'} warehouse cannot say"
            continue
        for place in sorted(before.keys() | fresh.keys()):
            for column, was, now in _unlike(before.get(place, {}), fresh.get(place, {})):
                yield f"{name}: {place}: {column} was {was} and is {now}"


def _unlike(before: Mapping[str, object], fresh: Mapping[str, object]) -> Iterator[tuple[str, object, object]]:
    for column in sorted(before.keys() | fresh.keys()):
        was, now = before.get(column), fresh.get(column)
        if was != now and not _near(was, now):
            yield column, was, now


def _near(was: object, now: object) -> bool:
    if not isinstance(was, float) or not isinstance(now, float):
        return False
    return math.isclose(was, now, rel_tol=_NEAR, abs_tol=_NEAR)
