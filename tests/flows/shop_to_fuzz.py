"""A shop to be fuzzed: its three APIs over one home, with goods, a dead letter, an incident and actions to be found."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from analytics.desk import Desk
from analytics.questions_api import make_app
from shop_stack.access import Signer, Verifier
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.eventlog.interface import EventLog
from shop_stack.hosting.topology import read_topology
from shop_stack.operations.audit import Report
from shop_stack.operations.audit_home import audit_home
from shop_stack.operations.auditing import Auditing
from shop_stack.operations.model import ReplayRequest
from shop_stack.runtime.desired import write_desired
from shop_stack.services.inventory import store as inventory
from tests.analytics_stand import ZONE
from tests.analytics_stand import Stand as AnalyticsStand
from tests.flows.shop_in_process import Shop, running_shop, wait_until
from tests.operations_stand import Stand, make_home, until
from tests.postgres_server import PostgresServer
from tests.serving import served

UNLUCKY = "unlucky"
"""Inventory cannot take in a product of a name that begins so, until the spell is lifted."""


@dataclass
class Apis:
    """The three APIs over one shop: the services as one application, operations whose replicas are that, analytics."""

    shop: Shop
    operations: Stand
    analytics: str
    spell: pytest.MonkeyPatch

    def description(self, api: str) -> str:
        """Where an API describes itself."""
        if api == "services":
            return f"http://127.0.0.1:{self.shop.groups['orders'].port}/schema/openapi.json"
        if api == "operations":
            return f"{self.operations.address}/ops/v1/schema/openapi.json"
        return f"{self.analytics}/analytics/v1/schema/openapi.json"

    def headers(self, api: str, role: str) -> list[str]:
        """As whom the API is asked."""
        if role == "nobody":
            return []
        if api == "services":
            return ["-H", f"x-subject: fuzz-{role}", "-H", f"x-role: {role}"]
        token = Signer(self.operations.settings.home, "operators").issue(
            role, role, datetime.now(UTC), timedelta(hours=12)
        )
        return ["-H", f"authorization: Bearer {token}"]

    def prepare(self, role: str) -> None:
        """A dead letter that stops an aggregate, and the incident that tells of it."""
        name = f"{UNLUCKY}-{role}"
        self.add(name)
        wait_until(lambda: name in self._stopped(), "a dead letter")
        until(lambda: any(one.resolved_at is None for one in self.operations.engine.store.incidents()))

    def add(self, *names: str) -> None:
        """Products, each in stock."""
        facts = {"category": "things", "list_price_minor": 500, "opening_stock": 100_000}
        products = [{"product_id": name, "name": name, **facts} for name in names]
        answer = self.shop.post("catalog", "/v1/products/batch", {"products": products}, key=",".join(names))
        assert answer.status_code == 201, answer.text

    def heal(self) -> None:
        """Lift the spell and replay what it stopped."""
        self.spell.undo()
        with self.operations.client("operator") as operator:
            if self._stopped():
                wanted = ReplayRequest(dry_run=False, quarantined=True, reason="the spell is lifted")
                begun = operator.replay(wanted)
                until(lambda: operator.action(begun.action_id or "").state != "requested", 30)
        assert self._stopped() == []

    def audit(self) -> Report:
        """Hold the books against each other, strictly, at a moment when nothing is under way."""
        ports = {**self.shop.settings.ports, "analytics": int(self.analytics.rpartition(":")[2])}
        settings = replace(self.shop.settings, ports=ports)
        desired = {name: group.desired for name, group in self.operations.runtime.groups.items()}
        write_desired(settings.home, read_topology("monolith", self.shop.stack), desired)
        reports: list[Report] = []

        def is_quiet() -> bool:
            reports.append(audit_home(settings, strict=True, now=datetime.now(UTC)))
            return reports[-1].quiet

        wait_until(is_quiet, "quiet", 60)
        return reports[-1]

    def _stopped(self) -> list[str]:
        return [letter["aggregate"] for letter in self.shop.get("inventory", "/stopped").json()]


@contextlib.contextmanager
def apis_over_one_shop(folder: Path, postgres: PostgresServer | None = None) -> Iterator[Apis]:
    """The APIs while the block lasts; with `postgres`, the stores lie on that server."""
    with contextlib.ExitStack() as leaving:
        spell = leaving.enter_context(pytest.MonkeyPatch.context())
        # In this process: one of its own, which tests/flows/test_audit.py tries, costs each question half a second.
        here = leaving.enter_context(pytest.MonkeyPatch.context())
        here.setattr(Auditing, "_run", _audit_here)
        spell.setattr(inventory, "add_item", _refusing(inventory.add_item))
        shop = leaving.enter_context(running_shop(folder / "home", topology="monolith", postgres=postgres))
        operations = Stand(make_home(folder / "home"), "monolith")
        operations.runtime.port = shop.groups["orders"].port
        operations.runtime.scale("shop", 1)
        leaving.enter_context(operations.served())
        until(lambda: operations.engine.sampler.snapshot.observation and operations.engine.link.down_because is None)
        made = leaving.enter_context(_reading(folder / "analytics", EmbeddedLog(shop.settings.home.log)))
        desk = Desk(made.warehouse, lambda: made.ingest.watermark, ZONE)
        app = make_app(desk, lambda: Verifier(operations.settings.home, "operators"))
        apis = Apis(shop, operations, leaving.enter_context(served(app)), spell)
        operations.settings.home.endpoints.write_text("{}")  # the shop runs, says this to the auditor
        apis.add("tea")
        with operations.client("operator") as operator:
            operator.restart("orders", "so that there is an action")
        yield apis


@contextlib.contextmanager
def _reading(folder: Path, log: EventLog) -> Iterator[AnalyticsStand]:
    """Analytics that reads what happens in the shop."""
    made = AnalyticsStand(folder, log)
    stop = threading.Event()
    thread = threading.Thread(target=made.ingest.run, args=(stop,))
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join(10)
        made.close()


def _audit_here(auditing: Auditing, words: list[str]) -> bytes:
    return msgspec.json.encode(audit_home(auditing._settings, strict=bool(words)))


def _refusing(add_item: Any) -> Any:
    def refuse(connection: Connection, product_id: str) -> None:
        if product_id.startswith(UNLUCKY):
            raise ValueError("nobody dares to touch this product")
        add_item(connection, product_id)

    return refuse
