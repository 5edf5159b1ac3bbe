"""Analytics as a process: ingestion on a thread of its own, the questions API on the main one."""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Protocol

import uvicorn

from analytics.archiving import Archive
from analytics.backing_up import Backups
from analytics.checking import Checking
from analytics.desk import Desk
from analytics.forecasting import Forecasting
from analytics.ingest import Ingest
from analytics.lightness import keep_out
from analytics.metrics import metrics_text
from analytics.questions_api import make_app
from analytics.scrubbing import Scrubbing
from analytics.warehouse import Warehouse
from shop_stack.access import Verifier
from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.opening import open_log
from shop_stack.events import CustomerErased
from shop_stack.listening import listen_on
from shop_stack.logs import write_json_lines
from shop_stack.runtime import lifeline
from shop_stack.settings import Settings, from_environment
from shop_stack.stack import read_stack
from shop_stack.telemetry.metrics import exporting_metrics
from shop_stack.telemetry.requests import Traced
from shop_stack.telemetry.tracing import exporting_spans


def main() -> int:
    """Run until SIGTERM, or until the supervisor's pipe closes. The exit code is 1 when ingestion broke."""
    write_json_lines("analytics")
    keep_out("pandas")
    lifeline.follow_supervisor()
    try:
        return serve(from_environment())
    except ShopfloorError as error:
        logging.getLogger("analytics").error("%s", error)
        return 1


def serve(settings: Settings) -> int:
    """Ingest and answer until told to stop. Raises LogUnavailable and WarehouseError when it cannot begin."""
    stack = read_stack(settings.stack_file)
    with contextlib.ExitStack() as closing:
        log = closing.enter_context(open_log(settings))
        warehouse = closing.enter_context(contextlib.closing(Warehouse(settings.home.warehouse)))
        forecasting = Forecasting(warehouse, log, stack)
        ingest = Ingest(log, warehouse, history_came=forecasting.grew)
        customers = CustomerErased.topic.name
        desk = Desk(warehouse, lambda: ingest.watermark, stack.zone)
        read = partial(_of_topic, ingest, customers)
        scrubbing = Scrubbing(warehouse, log, read, forget=desk.answers.forget)
        archive = Archive(warehouse, stack.retention)

        @cache
        def verifier() -> Verifier:
            return Verifier(settings.home, "operators")

        server = _server(desk, verifier)
        listener = listen_on(settings.bind, settings.ports.get("analytics", 0), "analytics")
        ingesting = _Ingesting(ingest, server)
        ingesting.start()
        beside: list[_Beside] = [forecasting, scrubbing, archive, Backups(warehouse), Checking(warehouse, log)]
        threads = [threading.Thread(target=one.run, name=type(one).__name__.lower()) for one in beside]
        for thread in threads:
            thread.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        page = partial(_page, ingest)
        with exporting_spans("analytics"), exporting_metrics("analytics", "analytics", page):
            server.run(sockets=[listener])
        desk.queries.close()
        for one in beside:
            one.stop()
        ingesting.stop()
        for thread in threads:
            thread.join()
        return 1 if ingesting.broke else 0


def _page(ingest: Ingest) -> str:
    return metrics_text(ingest.watermark)


def _of_topic(ingest: Ingest, topic: str) -> Mapping[int, int]:
    return ingest.watermark.positions.get(topic, {})


class _Beside(Protocol):
    """What goes on beside ingestion, on a thread of its own."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


class _Ingesting(threading.Thread):
    """Ingestion's thread. When it breaks unforeseen, the process ends and is started again."""

    def __init__(self, ingest: Ingest, server: uvicorn.Server) -> None:
        super().__init__(name="ingest")
        self._ingest = ingest
        self._server = server
        self._stopping = threading.Event()
        self.broke = True

    def run(self) -> None:
        try:
            self._ingest.run(self._stopping)
            self.broke = False
        finally:
            if self.broke:
                self._server.should_exit = True

    def stop(self) -> None:
        """Finish the transaction that began."""
        self._stopping.set()
        self.join()


def _server(desk: Desk, verifier: Callable[[], Verifier]) -> uvicorn.Server:
    config = uvicorn.Config(
        Traced(make_app(desk, verifier), "analytics"),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


if __name__ == "__main__":
    sys.exit(main())
