"""A whole shop in this process for the flow tests: real services, stores, log and provider; only the clock is ours."""

import multiprocessing
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from shop_stack import access
from shop_stack.envelope import Envelope, decode
from shop_stack.errors import MeshError
from shop_stack.eventlog.opening import open_log
from shop_stack.events import TOPICS, Event
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.group import Group
from shop_stack.hosting.http import asgi
from shop_stack.hosting.service import Answer
from shop_stack.hosting.topology import read_topology
from shop_stack.listening import claim_any
from shop_stack.mesh.direct import run
from shop_stack.provider.app import run_provider
from shop_stack.provider.behaviour import BehaviourChange
from shop_stack.settings import Home, Settings, TopologyName
from shop_stack.stack import Checkout, Provider, read_stack
from tests.postgres_server import PostgresServer

T = TypeVar("T")
ENDS = ("completed", "rejected", "cancelled")


class Clock:
    """The time, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


def until(condition: Callable[[], T], timeout_s: float = 15.0, what: str = "the condition") -> T:
    """The condition's first true answer; fails the test when there is none in time."""
    ends = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < ends, f"{what} did not hold within {timeout_s} s"
        time.sleep(0.01)
    return answer


class Shop:
    """The services by group, any of which can be started late or twice; `absent` groups wait for `start`.

    With `postgres`, the stores lie on that server, new ones unless `again` is set.

    `ports` are those of parts that the test itself runs, such as the `mesh` by which the provider calls back.
    """

    def __init__(
        self,
        folder: Path,
        topology: TopologyName,
        absent: Iterable[str] = (),
        ports: Mapping[str, int] | None = None,
        checkout: Checkout | None = None,
        delivery_seconds: float = 0.05,
        postgres: PostgresServer | None = None,
        again: bool = False,
    ) -> None:
        self.clock = Clock()
        self._provider_port = claim_any("127.0.0.1")  # held: another test's provider must not listen there too
        self.settings = Settings(
            home=Home(folder),
            topology=topology,
            delivery_seconds=delivery_seconds,
            ports={"provider": self._provider_port.getsockname()[1], **(ports or {})},
        )
        stack = read_stack()
        if postgres is not None:
            names = [spec.name for spec in stack.services]
            stores = postgres.settings(folder, names, again=again)
            self.settings = replace(self.settings, stores_url=stores.stores_url, store_secrets=stores.store_secrets)
        self.stack = msgspec.structs.replace(stack, checkout=checkout or Checkout(), provider=Provider())
        access.prepare_keys(self.settings.home, self.clock())
        self._groups = read_topology(topology, stack).groups
        self._running: dict[str, list[Group]] = {}
        self._logs: list[Any] = []
        self.log = self._open_log()
        self._provider, self._provider_thread = self._start_provider()
        self.behave(decline_rate=0.0, slow_rate=0.0)
        for group in self._groups:
            if group not in absent:
                self.start(group)
        self.until_ready()

    def start(self, group: str) -> Group:
        """One more replica of a group."""
        cards = [card_of(name) for name in self._groups[group]]
        replica = Group(cards, self.settings, self.stack, self, clock=self.clock)
        self._running.setdefault(group, []).append(replica)
        replica.start(self._open_log(), f"{group}-{uuid.uuid4().hex[:6]}")
        return replica

    def stop(self, group: str) -> None:
        """All replicas of a group leave."""
        for replica in self._running.pop(group, []):
            replica.stop()

    def until_ready(self) -> None:
        replicas = [replica for group in self._running.values() for replica in group]
        until(lambda: not any(replica.troubles() for replica in replicas), what="ready")

    def close(self) -> None:
        for group in list(self._running):
            self.stop(group)
        self._provider.close()
        self._provider_thread.join(10)
        self._provider_port.close()
        for log in self._logs:
            log.close()

    def get(self, service: str, path: str, *, deadline_s: float = 1.0, subject: str | None = None) -> Answer:
        """The mesh between the groups. Raises MeshError while no replica of the service runs, and for 5xx."""
        if not any(service in replica.contexts for group in self._running.values() for replica in group):
            raise MeshError(f"no replica of {service} runs")
        answer = self.ask(service, "GET", path, subject=subject)
        if answer.status >= 500:
            raise MeshError(f"{service} answered {answer.status}")
        return answer

    def ask(
        self, service: str, method: str, path: str, body: Any = None, subject: str | None = None, key: str | None = None
    ) -> Answer:
        """One request to one replica of a service, as the gateway passes it on."""
        headers = {"content-type": "application/json", "idempotency-key": key or uuid.uuid4().hex}
        if subject:
            headers["x-subject"] = subject
        return run(asgi(self.replica(service).direct_app()), method, path, headers, msgspec.json.encode(body))

    def replica(self, service: str) -> Group:
        """The first running replica that has this service."""
        return next(r for g in self._running.values() for r in g if service in r.contexts)

    def add_products(self, stock: dict[str, int], price_minor: int = 500) -> None:
        """Products at one price, in stock before this returns."""
        products = [
            {"product_id": name, "name": f"Product {name}", "category": "things", "list_price_minor": price_minor,
             "opening_stock": units}
            for name, units in stock.items()
        ]  # fmt: skip
        assert self.ask("catalog", "POST", "/v1/products/batch", {"products": products}).status == 201
        until(lambda: len(self.levels(stock)) == len(stock), what="opening stock")

    def levels(self, products: Iterable[str]) -> dict[str, dict[str, int]]:
        """available, reserved and sold by product."""
        answer = self.ask("inventory", "GET", f"/v1/stock?ids={','.join(products)}").json()
        return {item.pop("product_id"): item for item in answer["items"]}

    def fill_cart(self, subject: str, lines: dict[str, int]) -> str:
        """The id of a cart with these lines."""
        cart_id = uuid.uuid4().hex
        content = {"lines": [{"product_id": name, "quantity": units} for name, units in lines.items()]}
        assert self.ask("storefront", "PUT", f"/v1/carts/{cart_id}", content, subject).status == 200
        return cart_id

    def order(self, lines: dict[str, int], subject: str = "shopper", price_minor: int = 500) -> str:
        """Place an order; its id."""
        wanted = {"cart_id": self.fill_cart(subject, lines), "expected_total": sum(lines.values()) * price_minor}
        answer = self.ask("orders", "POST", "/v1/orders", wanted, subject)
        assert answer.status == 202, answer
        return str(answer.json()["order_id"])

    def show(self, order_id: str, subject: str = "shopper") -> dict[str, Any]:
        """The order as its shopper sees it."""
        answer = self.ask("orders", "GET", f"/v1/orders/{order_id}", subject=subject)
        assert answer.status == 200, answer
        return dict(answer.json())

    def until_state(self, order_id: str, *states: str, subject: str = "shopper") -> dict[str, Any]:
        """The order once it is in one of these states."""

        def there() -> dict[str, Any] | None:
            shown = self.show(order_id, subject)
            return shown if shown["state"] in states else None

        return until(there, what=f"order in {states}")  # type: ignore[return-value]

    def behave(self, **change: float) -> None:
        """Change how the provider behaves."""
        body = msgspec.json.encode(BehaviourChange(**change))
        status, now = _http(self.settings.ports["provider"], "POST", "/behaviour", body)
        assert status == 200
        assert change.items() <= msgspec.json.decode(now).items()

    def accounts(self) -> dict[str, dict[str, Any]]:
        """The provider's books by order."""
        _, body = _http(self.settings.ports["provider"], "GET", "/ledger", b"")
        return {account["order_id"]: account for account in msgspec.json.decode(body)["accounts"]}

    def events(self, correlation: str | None = None) -> list[Envelope[Event]]:
        """Everything on the log, each event id once, of one order when named."""
        found: dict[str, Envelope[Event]] = {}
        for topic in TOPICS:
            for partition in range(self.log.partitions(topic)):
                for event in self._read(topic, partition):
                    if correlation is None or event.correlationid == correlation:
                        found.setdefault(event.id, event)
        return list(found.values())

    def _read(self, topic: str, partition: int) -> list[Envelope[Event]]:
        position, found = 0, []
        while records := self.log.read(topic, partition, position):
            found += [decode(record.value) for record in records]
            position = records[-1].position + 1
        return found

    def _open_log(self) -> Any:
        log = open_log(self.settings)
        self._logs.append(log)
        return log

    def _start_provider(self) -> tuple[Any, threading.Thread]:
        ours, theirs = multiprocessing.Pipe()
        thread = threading.Thread(target=run_provider, args=(self.settings, theirs), daemon=True)
        thread.start()
        assert ours.poll(10), "the provider did not start"
        assert ours.recv() == ("ready", True)
        return ours, thread


def names(events: Sequence[Envelope[Event]], source: str | None = None) -> list[str]:
    """Event names in the order of their sequence, of one service when named."""
    chosen = [event for event in events if source is None or event.source == f"/{source}"]
    return [type(event.data).__name__ for event in sorted(chosen, key=lambda event: event.sequence or 0)]


def gaps(events: Iterable[Envelope[Event]]) -> list[tuple[str, str, list[int]]]:
    """Aggregates (source, subject) whose sequences are not 1, 2, 3...; empty when all is well."""
    seen: dict[tuple[str, str], Counter[int]] = {}
    for event in events:
        if event.sequence is not None:
            seen.setdefault((event.source, event.subject), Counter())[event.sequence] += 1
    return [
        (source, subject, sorted(counts.elements()))
        for (source, subject), counts in seen.items()
        if sorted(counts.elements()) != list(range(1, len(counts) + 1))
    ]


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _http(port: int, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
