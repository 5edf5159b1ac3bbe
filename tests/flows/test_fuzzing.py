"""Every operation of every API is fuzzed by its own description, as every role: no 5xx, no broken contract or book.

A push runs a few examples of each; SHOPFLOOR_FUZZ_EXAMPLES=50 runs as many of each, as every role (`make soak` does).
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.questions_api import Desk, make_app
from shop_stack.access import Signer, Verifier
from shop_stack.events import TOPICS
from tests.analytics_stand import ZONE
from tests.analytics_stand import Stand as AnalyticsStand
from tests.flows.shop_at_work import gaps
from tests.flows.shop_in_process import Shop, running_shop, wait_until
from tests.operations_stand import Stand, make_home, until
from tests.serving import served

pytestmark = pytest.mark.embedded
EXAMPLES = int(os.environ.get("SHOPFLOOR_FUZZ_EXAMPLES", "0"))
ROLES = ("viewer", "manager", "operator", "admin")
# (API, role, examples of each operation in a push); 0: only the systematic good requests, None: not in a push, where
# tests/contracts/test_role_matrix.py asks each route as each role.
RUNS: list[tuple[str, str, int | None]] = [
    ("services", "guest", 1),
    ("services", "customer", None),
    ("services", "nobody", None),
    ("operations", "admin", 1),
    ("operations", "operator", 0),
    ("operations", "manager", None),
    ("operations", "viewer", 0),
    ("operations", "nobody", None),
    ("analytics", "viewer", 1),
    *(("analytics", role, None) for role in (*ROLES[1:], "nobody")),
]


@dataclass
class Apis:
    """The three APIs over one shop: the services as one application, operations whose replicas are that, analytics."""

    shop: Shop
    operations: Stand
    analytics: str

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


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    folder = tmp_path_factory.mktemp("fuzzing")
    with contextlib.ExitStack() as leaving:
        shop = leaving.enter_context(running_shop(folder / "shop", topology="monolith"))
        product = {"product_id": "tea", "name": "Tea", "category": "things", "list_price_minor": 500}
        stocked = {"products": [product | {"opening_stock": 1000}]}
        assert shop.post("catalog", "/v1/products/batch", stocked, key="k").status_code == 201
        operations = Stand(make_home(folder / "operations"), "monolith")
        operations.runtime.port = shop.groups["orders"].port
        operations.runtime.scale("shop", 1)
        leaving.enter_context(operations.served())
        until(lambda: operations.engine.sampler.snapshot.observation and operations.engine.link.down_because is None)
        made = AnalyticsStand(folder / "analytics")
        leaving.callback(made.close)
        desk = Desk(made.warehouse, lambda: made.ingest.watermark, ZONE)
        app = make_app(desk, lambda: Verifier(operations.settings.home, "operators"))
        yield Apis(shop, operations, leaving.enter_context(served(app)))


def fuzz(apis: Apis, api: str, role: str, examples: int, folder: Path) -> dict[str, Any]:
    """One run of Schemathesis; its report."""
    report = folder / "report.json"
    depth = ["--phases", "coverage,fuzzing,stateful"] if examples else ["--phases", "coverage", "--mode", "positive"]
    limits = [*depth, "--max-examples", str(max(1, examples)), "--seed", "1", "--no-shrink"]
    written = ["--report", "json", "--report-json-path", str(report), "--generation-database", "none", "--no-color"]
    # A stream of events never ends, and Schemathesis waits for the end.
    endless = ["--exclude-path", "/ops/v1/events"]
    settings = ["--config-file", str(Path(__file__).parents[1] / "fuzzing.toml")]
    command = [str(Path(sys.executable).with_name("st")), *settings, "run", apis.description(api)]
    done = subprocess.run(
        [*command, *apis.headers(api, role), *limits, *written, *endless, "--continue-on-failure"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(api, role, *(line.strip() for line in done.stdout.splitlines() if "Links" in line or "generated" in line))
    return dict(json.loads(report.read_bytes()))


@pytest.mark.parametrize(("api", "role", "few"), [one for one in RUNS if EXAMPLES or one[2] is not None], ids=str)
def test_no_operation_fails_or_breaks_its_contract(
    apis: Apis, api: str, role: str, few: int | None, tmp_path: Path
) -> None:
    report = fuzz(apis, api, role, EXAMPLES or few or 0, tmp_path)
    operations = report["operations"]
    assert (report["failures"], report["errors"], report["complete"]) == ([], [], True)
    assert operations["tested"] == operations["selected"] >= operations["total"] - 1
    assert report["test_cases"]["generated"] >= operations["tested"]


def test_the_books_are_whole_afterwards(apis: Apis) -> None:
    shop = apis.shop
    wait_until(lambda: not shop.groups["orders"].group.troubles(), "readiness after the fuzzing")
    events = [event for topic in TOPICS for event in shop.events(topic)]
    assert gaps(events) == []
    assert shop.get("orders", "/stopped").json() == [], "no event of a fuzzed request stops an aggregate"
