"""From the checked lines of a file to products of the catalog and past orders of the history topic."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from shop_stack.envelope import Envelope
from shop_stack.events import Event, Line, PastOrderRecorded
from shop_stack.ids import imported_id
from shop_stack.traffic import import_rules as rules
from shop_stack.traffic.import_reading import Coded, InvoiceLines
from shop_stack.traffic.import_rules import Numbers

ORIGIN = "imported"
SOURCE = "/imports"
# Lines of one event: a line takes at most 150 bytes of JSON, so that an event stays below the log's 900 KiB.
MAX_LINES = 5000
_LEAST_STOCK = 100
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (the file's own local time, until its zone is put on)


@dataclass(frozen=True)
class Books:
    """What became of each line: its reason (-1: imported) and its worth in minor units; `exact` in millionths."""

    lines: InvoiceLines
    reason: Numbers
    minor: Numbers
    unit_minor: Numbers
    exact: int
    per_unit: int

    @property
    def imported(self) -> Numbers:
        """The rows that are imported."""
        return np.flatnonzero(self.reason == -1)

    def lines_by_reason(self) -> dict[str, int]:
        """Number of lines of each reason that occurs."""
        return {name: int((self.reason == i).sum()) for i, name in enumerate(rules.REASONS) if (self.reason == i).any()}

    def money_by_reason(self) -> dict[str, int]:
        """Minor units of each reason that occurs."""
        return {
            name: int(self.minor[self.reason == rules.REASONS.index(name)].sum()) for name in self.lines_by_reason()
        }


def keep_books(lines: InvoiceLines, currency: str) -> Books:
    """Decide every line and value it; nothing is lost: imported and reasons add up to all lines."""
    per_unit = rules.minor_per_unit(currency)
    by_invoice = rules.reason_numbers(map(rules.reason_of_invoice, lines.invoice.texts))[lines.invoice.codes]
    by_code = rules.reason_numbers(map(rules.reason_of_code, lines.stock_code.texts))[lines.stock_code.codes]
    exact = lines.quantity * lines.price_millionths
    return Books(
        lines=lines,
        reason=rules.reasons_of_lines(by_invoice, by_code, lines.quantity, lines.price_millionths, per_unit),
        minor=rules.to_minor(exact, per_unit),
        unit_minor=rules.to_minor(lines.price_millionths, per_unit),
        exact=int(exact.sum()),
        per_unit=per_unit,
    )


def products_of(books: Books) -> list[dict[str, Any]]:
    """The products of the imported lines, as POST /v1/products/batch takes them, the most popular first.

    List price: the price most lines have. Popularity: orders that hold it over the mean of all products.
    Opening stock: as many units as the file sold, at least 100.
    """
    rows = books.imported
    ids, owner = _product_rows(books.lines.stock_code, rows)
    prices = rules.best(Counter(zip(owner.tolist(), books.unit_minor[rows].tolist(), strict=True)))
    names = _names(books.lines.description, owner, rows)
    units = np.bincount(owner, weights=books.lines.quantity[rows], minlength=len(ids)).astype(np.int64)
    held = np.unique(np.stack([owner, books.lines.invoice.codes[rows]]), axis=1)[0]
    orders = np.bincount(held, minlength=len(ids))
    mean = float(orders.mean()) if len(ids) else 1.0
    category = rules.categories(names.values())
    found = [
        {
            "product_id": product_id,
            "name": names.get(number) or product_id,
            "category": category.get(names.get(number, ""), "other"),
            "list_price_minor": int(prices[number]),
            "popularity": round(float(orders[number]) / mean, 6),
            "opening_stock": max(_LEAST_STOCK, int(units[number])),
        }
        for number, product_id in enumerate(ids)
    ]
    return sorted(found, key=lambda product: (-product["popularity"], product["product_id"]))


def _product_rows(codes: Coded, rows: Numbers) -> tuple[list[str], Numbers]:
    """The product ids of these rows, each once, and for each row the index of its own."""
    used, inverse = np.unique(codes.codes[rows], return_inverse=True)
    number_of: dict[str, int] = {}
    numbers = [number_of.setdefault(rules.product_id(codes.texts[code]), len(number_of)) for code in used.tolist()]
    return list(number_of), np.array(numbers, dtype=np.int64)[inverse]


def _names(descriptions: Coded, owner: Numbers, rows: Numbers) -> dict[int, str]:
    """The description that most lines of each product have."""
    cleaned = [rules.product_name(text) for text in descriptions.texts]
    pairs = zip(owner.tolist(), descriptions.codes[rows].tolist(), strict=True)
    counts: Counter[tuple[int, Any]] = Counter()
    for (product, code), times in Counter(pairs).items():
        if code >= 0 and cleaned[code]:
            counts[product, cleaned[code]] += times
    return rules.best(counts)


def order_events(books: Books, file_hash: str) -> Iterator[Envelope[Event]]:
    """One event an invoice with its imported lines, in order of time; a very large invoice is several parts.

    Event and order ids are derived from the file's hash and the invoice, so that importing twice is importing once.
    Customers are pseudonyms: a UUIDv5 of the file's hash and the file's own customer id, which is not kept.
    """
    lines = books.lines
    ids, owner = _product_rows(lines.stock_code, books.imported)
    rows, starts = _by_invoice(books)
    product = np.zeros(len(lines), dtype=np.int64)
    product[books.imported] = owner
    customers = [imported_id(file_hash, f"customer/{text}") for text in lines.customer_id.texts]
    for first, last in zip(starts, [*starts[1:], len(rows)], strict=True):
        for part, at in enumerate(range(first, last, MAX_LINES)):
            held = rows[at : min(at + MAX_LINES, last)]
            key = lines.invoice.texts[lines.invoice.codes[held[0]]] + (f"/{part + 1}" if part else "")
            bought = map(Line, [ids[p] for p in product[held]], lines.quantity[held].tolist(),
                         books.unit_minor[held].tolist())  # fmt: skip
            yield _order(books, file_hash, key, rows[first:last], held, list(bought), customers)


def _by_invoice(books: Books) -> tuple[Numbers, list[int]]:
    """The imported rows, those of an invoice together, invoices by their first time; and where each begins."""
    rows = books.imported
    invoice = books.lines.invoice.codes
    first_at = np.full(len(books.lines.invoice.texts), np.iinfo(np.int64).max)
    np.minimum.at(first_at, invoice[rows], books.lines.at_us[rows])
    rows = rows[np.lexsort((rows, invoice[rows], first_at[invoice[rows]]))]
    starts = np.flatnonzero(np.diff(invoice[rows], prepend=-1))
    return rows, starts.tolist()


def _order(
    books: Books, file_hash: str, key: str, invoice: Numbers, held: Numbers, bought: list[Line], customers: list[str]
) -> Envelope[Event]:
    lines = books.lines
    order_id = imported_id(file_hash, f"order/{key}")
    customer, country = int(lines.customer_id.codes[held[0]]), int(lines.country.codes[held[0]])
    recorded = PastOrderRecorded(
        order_id=order_id,
        customer_id=customers[customer] if customer >= 0 else None,
        country=lines.country.texts[country] if country >= 0 else None,
        lines=bought,
        total_minor=int(books.minor[held].sum()),
        origin=ORIGIN,
        file_hash=file_hash,
    )
    return Envelope(
        id=imported_id(file_hash, f"event/{key}"),
        source=SOURCE,
        subject=order_id,
        time=utc(int(lines.at_us[invoice].min()), lines),
        data=recorded,
        correlationid=order_id,
    )


def utc(at_us: int, lines: InvoiceLines) -> datetime:
    """A time of the file as UTC; of an hour that the clock strikes twice the first is meant."""
    local = _EPOCH + timedelta(microseconds=at_us)
    return local.replace(tzinfo=lines.zone or UTC).astimezone(UTC)
