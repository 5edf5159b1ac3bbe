"""Makes forecasts on time: gathers the history, has it fitted in a child that exits, and publishes what came out."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO

import msgspec
import pyarrow as pa

from analytics.models.capacity import advise
from analytics.publish import publish
from analytics.schedule import Schedule
from analytics.statements import statement
from analytics.task import Kind, Task
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.errors import EventLogError, ShopfloorError
from shop_stack.eventlog.interface import EventLog
from shop_stack.events import ForecastMade, ReplicasAdvised
from shop_stack.stack import Stack

_HISTORY = timedelta(days=16)
_FIT_TIMEOUT_S = 180.0
_GATHER_TIMEOUT_S = 30.0
_SAMPLES_LATE = timedelta(seconds=3)
_decode = msgspec.json.Decoder(list[ForecastMade]).decode
log = logging.getLogger(__name__)


class FittingFailed(ShopfloorError):
    """The child that fits forecasts failed or took too long."""


class Forecasting:
    """The forecasts of one stack. `run` belongs to one thread; `grew` is for any."""

    def __init__(
        self,
        warehouse: Warehouse,
        events: EventLog,
        stack: Stack,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._warehouse = warehouse
        self._events = events
        self._stack = stack
        self._now = now
        self._schedule = Schedule(time.monotonic())
        self._changed = threading.Condition()
        self._stopped = False
        self._child: subprocess.Popen[bytes] | None = None

    def grew(self) -> None:
        """Past events were ingested: make all forecasts again once they pause."""
        with self._changed:
            self._schedule.grew(time.monotonic())
            self._changed.notify()

    def stop(self) -> None:
        """Let `run` return; a child at work is ended."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            if self._child is not None:
                self._child.kill()

    def run(self) -> None:
        """Make each forecast when it is due, until stopped. A failure is logged and the next turn tries again."""
        while (kinds := self._wait()) is not None:
            for kind in kinds:
                try:
                    self.make(kind)
                except (WarehouseError, EventLogError, FittingFailed) as error:
                    log.warning("no forecast of %s this time: %s", kind, error)

    def make(self, kind: Kind) -> None:
        """Fit and publish the forecasts of one kind. Raises WarehouseError, FittingFailed, LogUnavailable."""
        now = self._now()
        services = [spec.name for spec in self._stack.services]
        task = Task(kind=kind, made_at=now, zone=self._stack.time_zone, services=services)
        forecasts = self._fit(task, self._gather(task))
        loads = self._loads(now) if kind == "requests" else {}
        publish(self._events, [(f, self._advice(f, loads)) for f in forecasts], self._now())

    def _wait(self) -> list[Kind] | None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if taken := self._schedule.take(now):
                    return taken
                self._changed.wait(self._schedule.next_at() - now)
        return None

    def _gather(self, task: Task) -> pa.Table:
        name = "requests_by_minute" if task.kind == "requests" else "sales_by_day"
        sql = statement(f"series/{name}")
        until = _minute(task.made_at - _SAMPLES_LATE)
        local = task.made_at.astimezone(self._stack.zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        values = {
            "since": until - _HISTORY,
            "until": until,
            "zone": task.zone,
            "day_start": midnight.astimezone(UTC).replace(tzinfo=None),
        }
        bound = {key: value for key, value in values.items() if f"${key}" in sql}
        return self._warehouse.ask_arrow(sql, bound, _GATHER_TIMEOUT_S)

    def _loads(self, now: datetime) -> dict[str, float]:
        until = _minute(now - _SAMPLES_LATE)
        values = {"since": until - timedelta(minutes=5), "until": until}
        return dict(self._warehouse.ask(statement("series/requests_now"), values).rows)

    def _fit(self, task: Task, table: pa.Table) -> list[ForecastMade]:
        stream = _stream(task, table)
        command = [sys.executable, "-m", "analytics.fitting"]
        with self._changed:
            if self._stopped:
                return []
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            written, _ = self._child.communicate(stream, timeout=_FIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise FittingFailed(f"fitting {task.kind} took longer than {_FIT_TIMEOUT_S:g} s") from None
        finally:
            self._child.kill()
            code = self._child.wait()
            self._child = None
        if self._stopped:
            return []
        if code != 0:
            raise FittingFailed(f"fitting {task.kind} ended with exit code {code}; its log says why")
        return _decode(written)

    def _advice(self, forecast: ForecastMade, loads: dict[str, float]) -> ReplicasAdvised | None:
        if forecast.status != "ok" or not forecast.series.startswith("requests:"):
            return None
        spec = self._stack.service(forecast.series.removeprefix("requests:"))
        peak = max(point.high95 for point in forecast.points)
        advice = advise(peak, loads.get(spec.name, 0.0), spec.replica_capacity, spec.min_replicas, spec.max_replicas)
        return ReplicasAdvised(service=spec.name, replicas=advice.replicas, because=advice.because)


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0, tzinfo=None)


def _stream(task: Task, table: pa.Table) -> bytes:
    table = table.replace_schema_metadata({"task": msgspec.json.encode(task)})
    sink = BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
