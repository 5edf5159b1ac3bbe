"""Adds up the minutes of long ago into hours, where rows grow with time alone: samples of services and what they lag.

Whatever sums, weighs or takes the largest of a minute's rows says the same of an hour's. Money and events stay by
minute: they grow with the shop, and a business day may begin at any quarter of an hour.
"""

from datetime import datetime

from analytics.marts import MARTS
from analytics.statements import names, statement
from analytics.warehouse import Warehouse

_TIMEOUT_S = 600.0


def coarsen(warehouse: Warehouse, before: datetime) -> int:
    """Make hours of the minutes before a full hour (naive UTC), those that came late too; how many rows are spared.

    Raises WarehouseError while another statement writes the same rows: nothing has changed then.
    """
    return sum(_coarsen(warehouse, name, before) for name in names("coarsening"))


def _coarsen(warehouse: Warehouse, name: str, before: datetime) -> int:
    table = f"kept_{name}" if name in MARTS else name
    tend = warehouse.tend
    some = f"from {table} where minute < $before and minute <> date_trunc('hour', minute)"
    hours = f"create or replace temp table coarse_hours as select distinct date_trunc('hour', minute) {some}"
    with warehouse.tending():
        if not tend(hours, {"before": before}, _TIMEOUT_S).rows[0][0]:
            return 0
        tend(f"create or replace temp table coarse as {statement(f'coarsening/{name}')}", {}, _TIMEOUT_S)
        gone = tend(
            f"delete from {table} where date_trunc('hour', minute) in (from coarse_hours)",  # noqa: S608
            {},
            _TIMEOUT_S,
        ).rows[0][0]
        come = tend(f"insert into {table} select * from coarse", {}, _TIMEOUT_S).rows[0][0]  # noqa: S608
    return int(gone) - int(come)
