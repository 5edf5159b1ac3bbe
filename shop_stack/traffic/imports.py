"""Import of past orders: a file's products into the catalog, its invoices as events of the history topic."""

import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path

import numpy as np

from shop_stack.envelope import Envelope, encode
from shop_stack.errors import NotRunning
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.eventlog.opening import open_log
from shop_stack.events import HISTORY, Event, HistoryImported
from shop_stack.ids import imported_id
from shop_stack.money import minor_units
from shop_stack.settings import Home, Settings, from_environment, read_endpoints
from shop_stack.stack import read_stack
from shop_stack.traffic import import_progress
from shop_stack.traffic.catalog_client import CatalogClient
from shop_stack.traffic.import_progress import ImportReport, Progress
from shop_stack.traffic.import_reading import fingerprint, read_lines
from shop_stack.traffic.import_rules import MILLION
from shop_stack.traffic.past_orders import MAX_LINES, SOURCE, Books, keep_books, order_events, products_of, utc

_ORDERS_AT_ONCE = 500
Said = Callable[[int, int], None]


def import_file(home: Home, path: Path, *, progress: Said = lambda done, total: None) -> ImportReport:
    """Import a file of past orders into the stack that runs on this home.

    `progress` hears how many products and orders are done, of how many. A file that was imported before changes
    nothing and gets the same report; an import that was killed goes on. It starts threads (Arrow): call it in a
    process of its own. Raises ImportRefused (nothing was sent when it names a row), NotRunning, AccessDenied,
    LogUnavailable.
    """
    began = time.monotonic()
    settings = _running_settings(home)
    stack = read_stack(settings.stack_file)
    with import_progress.alone(home):
        file = fingerprint(path)
        with open_log(settings) as log:
            state = import_progress.load(home, file.file_hash, log.log_id)
            if state.report is not None:
                state.report.already_imported = True
                return state.report
            books = keep_books(read_lines(path, stack.zone, file.utf8), stack.currency)
            work = _Work(home, file.file_hash, log, state, books, progress)
            work.send_products()
            report = work.send_orders(path.name, stack.currency)
            report.seconds = round(time.monotonic() - began, 2)
            report.peak_memory_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            work.finish(report)
            return report


class _Work:
    """One import under way: each step is kept once it is done, and can be done twice."""

    def __init__(
        self, home: Home, file_hash: str, log: EventLog, state: Progress, books: Books, progress: Said
    ) -> None:
        self._home, self._hash, self._log, self._state, self._books = home, file_hash, log, state, books
        self._products = products_of(books)
        self._orders = count_orders(books)
        self._say = progress

    def send_products(self) -> None:
        """Add what the catalog lacks; its own prices and names stay."""
        if self._state.products_sent:
            return
        self._state.products_added = self._state.products_kept = 0
        client = CatalogClient(self._home)
        try:
            for added, kept in client.add_missing(self._products):
                self._state.products_added += added
                self._state.products_kept += kept
                self._tell(self._state.products_added + self._state.products_kept)
        finally:
            client.close()
        self._state.products_sent = True
        self._save()

    def send_orders(self, file: str, currency: str) -> ImportReport:
        """Append the orders that are not appended yet, then give the report."""
        events = islice(order_events(self._books, self._hash), self._state.orders_appended, None)
        while batch := list(islice(events, _ORDERS_AT_ONCE)):
            self._log.append(HISTORY.name, [_record(event) for event in batch])
            self._state.orders_appended += len(batch)
            self._save()
            self._tell(len(self._products) + self._state.orders_appended)
        return report_of(self._books, file, self._hash, currency, self._state, len(self._products))

    def finish(self, report: ImportReport) -> None:
        """Say on the log that the import has ended, and keep the report."""
        self._log.append(HISTORY.name, [_record(_ended(report))])
        self._state.report = report
        self._save()

    def _save(self) -> None:
        import_progress.save(self._home, self._hash, self._state)

    def _tell(self, done: int) -> None:
        self._say(done, len(self._products) + self._orders)


def _running_settings(home: Home) -> Settings:
    """How the stack on this home was started. Raises NotRunning."""
    read_endpoints(home)
    try:
        text = (home.path / "settings.json").read_text()
    except OSError:
        raise NotRunning(f"nothing has run on {home.path}; start it with: shopfloor up --home {home.path}") from None
    return from_environment({"SHOPFLOOR_SETTINGS": text})


def count_orders(books: Books) -> int:
    """How many events the imported lines make: one an invoice, more for a very large one."""
    _, sizes = np.unique(books.lines.invoice.codes[books.imported], return_counts=True)
    return int((-(-sizes // MAX_LINES)).sum())


def report_of(books: Books, file: str, file_hash: str, currency: str, state: Progress, products: int) -> ImportReport:
    """What became of every line and of the money; `seconds` and memory are still 0."""
    rows, lines = books.imported, books.lines
    exact = Decimal(books.exact) / MILLION
    net_minor = minor_units(exact, currency)
    customers = lines.customer_id.codes[rows]
    times = lines.at_us[rows]
    by_reason = books.money_by_reason()
    return ImportReport(
        file=file,
        file_hash=file_hash,
        currency=currency,
        already_imported=False,
        lines_read=len(lines),
        lines_imported=len(rows),
        reasons=books.lines_by_reason(),
        net_sales=net_minor / books.per_unit,
        net_sales_minor=net_minor,
        imported_minor=int(books.minor[rows].sum()),
        reason_money={name: minor / books.per_unit for name, minor in by_reason.items()},
        reason_money_minor=by_reason,
        rounding_minor=net_minor - int(books.minor.sum()),
        file_sum=format(exact.normalize(), "f"),
        orders=state.orders_appended,
        products=products,
        products_added=state.products_added,
        products_kept=state.products_kept,
        customers=len(np.unique(customers[customers >= 0])),
        anonymous_lines=int((customers < 0).sum()),
        first=utc(int(times.min()), lines) if len(rows) else None,
        last=utc(int(times.max()), lines) if len(rows) else None,
        seconds=0.0,
        peak_memory_bytes=0,
    )


def _ended(report: ImportReport) -> Envelope[Event]:
    ended = HistoryImported(
        file_hash=report.file_hash,
        lines_read=report.lines_read,
        lines_imported=report.lines_imported,
        reasons=report.reasons,
        net_sales_minor=report.net_sales_minor,
        reason_money_minor=report.reason_money_minor,
        rounding_minor=report.rounding_minor,
        first=report.first,
        last=report.last,
    )
    event_id = imported_id(report.file_hash, "ended")
    return Envelope(id=event_id, source=SOURCE, subject=event_id, time=datetime.now(UTC), data=ended)


def _record(event: Envelope[Event]) -> Record:
    return Record(key=event.subject, value=encode(event))
