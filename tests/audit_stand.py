"""Books for the auditor's tests and benchmark: a home with orders that never ran, written as the services would have.

Every order is there with its events in outbox and log, inbox rows, reservation, payment, parcel, the provider's
account and its idempotency key; `break_book` then does what a bug or a bad disk would do.
"""

from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from shop_stack import events
from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import Record
from shop_stack.events import Event, Line, Quantity
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.context import HOST_TABLES
from shop_stack.hosting.store_opening import open_store
from shop_stack.ids import uuid7
from shop_stack.moments import micros
from shop_stack.operations.audit_home import shop_of
from shop_stack.provider.ledger import Ledger
from shop_stack.settings import Home, Settings
from tests.store_hands import change, hands_on

BEGAN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PRICE = 500
_BATCH = 1000
_SERVICES = ("catalog", "inventory", "orders", "payments", "shipping", "customers", "storefront", "recommendations")
_OUTBOX = (
    "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, sequence, topic, key, created, published) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass
class Book:
    """What is to be written of one batch, by service and table."""

    outbox: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    inbox: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)
    rows: dict[tuple[str, str], list[tuple[object, ...]]] = field(default_factory=dict)


class Books:
    """Writes orders into a home folder, and into the stores that `stores` name (else files of the home)."""

    def __init__(self, folder: Path, products: int = 200, stores: Settings | None = None) -> None:
        self.settings = replace(stores or Settings(home=Home(folder)), home=Home(folder), delivery_seconds=1.0)
        self.home = self.settings.home
        self._hands = hands_on(self.settings)
        self.shop = shop_of(self.settings)
        self.events = 0
        self._now = BEGAN
        self._versions: dict[tuple[str, str], int] = {}
        self._levels = {f"p{number}": [0, 0, 0] for number in range(products)}
        self._book = Book()
        self._followers: dict[str, list[str]] = {}
        for consumer in self.shop.consumers:
            for kinds in consumer.kinds.values():
                for kind in kinds:
                    self._followers.setdefault(kind, []).append(consumer.name)
        for service in _SERVICES:
            store = open_store(self.settings, service)
            store.prepare(card_of(service).store)
            store.prepare(HOST_TABLES[0].metadata)
            store.close()
        Ledger(self.home.provider_ledger).close()
        self._log = EmbeddedLog(self.home.log)

    def fill(self, orders: int) -> None:
        """Opening stock, then so many orders: of 100, 92 completed, 5 declined and 3 out of stock."""
        for product in self._levels:
            added = events.ProductAdded(product_id=product, name=product, category="things", list_price_minor=PRICE,
                                        opening_stock=orders)  # fmt: skip
            cause = self.publish("catalog", added, product)
            self.publish("inventory", events.StockReceived(product_id=product, quantity=orders), product, cause)
            self._move(product, cause, available=orders)
        for number in range(orders):
            self.order(number)
            if number % _BATCH == _BATCH - 1:
                self.write()
        for product, (available, reserved, sold) in self._levels.items():
            version = self._versions.get(("inventory", product), 0)
            self._row("inventory", "stock_items", product, available, reserved, sold, version)
        self.write()
        self._commit_positions()
        self._log.close()

    def order(self, number: int) -> None:
        """One order from its checkout to its end."""
        self._now += timedelta(milliseconds=5)
        order_id, customer = uuid7(self._now), f"customer-{number % 5000}"
        product = f"p{number * 7 % len(self._levels)}"
        lines, wanted = [Line(product, 1, PRICE)], [Quantity(product, 1)]
        placed = events.OrderPlaced(order_id=order_id, customer_id=customer, cart_id=order_id, lines=lines,
                                    total_minor=PRICE)  # fmt: skip
        self.publish("orders", placed, order_id)
        asked = self.publish("orders", events.ReservationRequested(order_id=order_id, lines=wanted), order_id)
        promised = msgspec.json.encode({"order_id": order_id, "state": "placed", "total_minor": PRICE})
        self._row("orders", "idempotency_keys", customer, "POST", "/v1/orders", f"key-{number}", b"0" * 16, 202,
                  promised, micros(self._now))  # fmt: skip
        kind = number % 100
        if kind < 92:
            self._completed(order_id, customer, product, asked)
        elif kind < 97:
            self._declined(order_id, product, asked)
        else:
            self._out_of_stock(order_id, product, asked)
        ended = "completed" if kind < 92 else "rejected"
        lines_json = msgspec.json.encode(lines).decode()
        version = self._versions["orders", order_id]
        self._row("orders", "orders", order_id, customer, order_id, ended, None, lines_json, PRICE,
                  micros(self._now), version, False, False, 0, None)  # fmt: skip

    def publish(self, service: str, event: Event, subject: str, cause: str | None = None) -> str:
        """An event in the service's outbox, the log and the inboxes of those who follow it; its id."""
        version = self._versions[service, subject] = self._versions.get((service, subject), 0) + 1
        event_id = uuid7(self._now)
        value = encode(Envelope(id=event_id, source=f"/{service}", subject=subject, time=self._now, data=event,
                                sequence=version, causationid=cause, correlationid=subject))  # fmt: skip
        at, topic = micros(self._now), event.topic.name
        book = self._book
        book.outbox.setdefault(service, []).append(
            (event_id, topic, subject, event.type, value, version, topic, subject, at, at)
        )
        book.records.setdefault(topic, []).append(Record(subject, value))
        for consumer in self._followers.get(event.type, []):
            book.inbox.setdefault(consumer, []).append((consumer, event_id, at))
        self.events += 1
        return event_id

    def write(self) -> None:
        """Write what has been gathered."""
        book, self._book = self._book, Book()
        for service, sent in book.outbox.items():
            self._hands.change(service, _OUTBOX, sent)
        for service, handled in book.inbox.items():
            self._hands.change(service, "INSERT INTO inbox VALUES (?, ?, ?)", handled)
        for (service, table), rows in book.rows.items():
            into = f"INSERT INTO {table} VALUES ({','.join('?' for _ in rows[0])})"  # noqa: S608
            if service == "provider":
                change(self.home.provider_ledger, into, rows)
            else:
                self._hands.change(service, into, rows)
        for topic, records in book.records.items():
            self._log.append(topic, records)

    def _completed(self, order_id: str, customer: str, product: str, asked: str) -> None:
        expires = self._now + timedelta(seconds=120)
        reserved = self.publish(
            "inventory", events.StockReserved(order_id=order_id, expires_at=expires), order_id, asked
        )
        self._move(product, asked, available=-1, reserved=1)
        self._advance(order_id, "reserved", reserved)
        request = events.AuthorisationRequested(order_id=order_id, customer_id=customer, amount_minor=PRICE)
        cause = self.publish("orders", request, order_id, reserved)
        held = events.PaymentAuthorised(order_id=order_id, amount_minor=PRICE, provider_reference=f"ref-{order_id}")
        authorised = self.publish("payments", held, order_id, cause)
        self._advance(order_id, "authorised", authorised)
        wanted = events.CaptureRequested(order_id=order_id, amount_minor=PRICE)
        cause = self.publish("orders", wanted, order_id, authorised)
        captured = self.publish(
            "payments", events.PaymentCaptured(order_id=order_id, amount_minor=PRICE), order_id, cause
        )
        self._advance(order_id, "captured", captured)
        dispatch = events.DispatchRequested(order_id=order_id, customer_id=customer, lines=[Quantity(product, 1)])
        cause = self.publish("orders", dispatch, order_id, captured)
        sold = self.publish("inventory", events.StockSold(order_id=order_id, customer_id=customer), order_id, cause)
        self._move(product, cause, reserved=-1, sold=1)
        parcel = f"P-{order_id}"
        self.publish("shipping", events.LabelCreated(order_id=order_id, parcel_id=parcel), order_id, sold)
        gone = self.publish("shipping", events.ShipmentDispatched(order_id=order_id, parcel_id=parcel), order_id, sold)
        self._advance(order_id, "shipped", gone)
        there = self.publish("shipping", events.ShipmentDelivered(order_id=order_id, parcel_id=parcel), order_id)
        done = events.OrderCompleted(order_id=order_id, customer_id=customer, lines=[Line(product, 1, PRICE)],
                                     total_minor=PRICE, seconds=0.1)  # fmt: skip
        self.publish("orders", done, order_id, there)
        self._parts(order_id, product, "sold", ("captured", PRICE, PRICE, 0))
        self._row("shipping", "shipments", order_id, customer, "delivered", parcel, "address", 3, 0, None, sold, None)

    def _declined(self, order_id: str, product: str, asked: str) -> None:
        expires = self._now + timedelta(seconds=120)
        reserved = self.publish(
            "inventory", events.StockReserved(order_id=order_id, expires_at=expires), order_id, asked
        )
        self._move(product, asked, available=-1, reserved=1)
        self._advance(order_id, "reserved", reserved)
        request = events.AuthorisationRequested(order_id=order_id, customer_id="c", amount_minor=PRICE)
        cause = self.publish("orders", request, order_id, reserved)
        declined = self.publish(
            "payments", events.PaymentDeclined(order_id=order_id, reason="card_expired"), order_id, cause
        )
        cause = self.publish("orders", events.ReleaseRequested(order_id=order_id), order_id, declined)
        released = events.ReservationReleased(order_id=order_id, reason="requested")
        back = self.publish("inventory", released, order_id, cause)
        self._move(product, cause, available=1, reserved=-1)
        self.publish("orders", events.OrderRejected(order_id=order_id, reason="declined"), order_id, back)
        self._parts(order_id, product, "released", ("declined", 0, 0, 0))

    def _out_of_stock(self, order_id: str, product: str, asked: str) -> None:
        short = events.ReservationRejected(order_id=order_id, short=[Quantity(product, 1)])
        refused = self.publish("inventory", short, order_id, asked)
        self.publish("orders", events.OrderRejected(order_id=order_id, reason="out_of_stock"), order_id, refused)
        self._parts(order_id, product, "rejected", None)

    def _parts(self, order_id: str, product: str, stock: str, account: tuple[str, int, int, int] | None) -> None:
        lines = msgspec.json.encode([Quantity(product, 1)]).decode()
        version = self._versions["inventory", order_id]
        self._row("inventory", "reservations", order_id, stock, lines, version, None)
        if account is None:
            return
        state = account[0]
        goal = "captured" if state == "captured" else "authorised"
        version = self._versions["payments", order_id]
        self._row("payments", "payments", order_id, PRICE, state, goal, "ref", version, 0, False, None, None, None)
        self._row("provider", "accounts", order_id, *account)
        for step in ("authorise", "capture") if state == "captured" else ("authorise",):
            status = 200 if state == "captured" else 402
            self._row("provider", "answers", f"{order_id}/{step}", order_id, step, PRICE, status, b"{}", 1)

    def _advance(self, order_id: str, state: str, cause: str) -> None:
        self.publish("orders", events.OrderAdvanced(order_id=order_id, state=state), order_id, cause)

    def _move(self, product: str, cause: str, available: int = 0, reserved: int = 0, sold: int = 0) -> None:
        level = self._levels[product]
        for at, units in enumerate((available, reserved, sold)):
            level[at] += units
        changed = events.StockLevelChanged(product_id=product, available=level[0], reserved=level[1], sold=level[2])
        self.publish("inventory", changed, product, cause)

    def _row(self, service: str, table: str, *values: object) -> None:
        self._book.rows.setdefault((service, table), []).append(values)

    def _commit_positions(self) -> None:
        """Everyone has read all there is."""
        for consumer in self.shop.consumers:
            with closing(self._log.subscribe(consumer.name, sorted(consumer.kinds))):
                pass
            path = self.home.log / "groups" / consumer.name / "group.db"
            rows = [
                (topic, partition, end, self._log.log_id)
                for topic in consumer.kinds
                for partition, end in enumerate(self._log.ends(topic))
            ]
            change(path, "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)", rows)
