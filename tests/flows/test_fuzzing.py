"""Every operation of every API is fuzzed by its own description, as every role: no 5xx, no broken contract or book.

Walks go on from an answer along the description's links. A push runs a few examples of each operation and short walks;
SHOPFLOOR_FUZZ_EXAMPLES=50 runs as many of each, as every role, until each link was followed (`make soak` does).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shop_stack.events import TOPICS
from tests.flows.shop_at_work import gaps
from tests.flows.shop_in_process import wait_until
from tests.flows.shop_to_fuzz import Apis, apis_over_one_shop

pytestmark = pytest.mark.embedded
EXAMPLES = int(os.environ.get("SHOPFLOOR_FUZZ_EXAMPLES", "0"))
ROOT = Path(__file__).parents[2]
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
# From goods to the parcel is a long way, and walks that may go anywhere seldom go it.
SHOPPING = "^/v1/(products$|carts|checkouts|orders|payments|shipments)"
# Walks in a push, and how many of the links they follow at the very least: which ways they take is a matter of luck.
SHORT_WALKS = {"services": (25, 8), "operations": (20, 4), "analytics": (2, 1)}


@dataclass
class Found:
    """What the fuzzer reports of one or more runs; `links` by their names, of `known` in all."""

    operations: dict[str, int]
    links: set[str] = field(default_factory=set)
    known: int = 0
    cases: int = 0
    failures: list[Any] = field(default_factory=list)


FOUND: dict[tuple[str, str], Found] = {}
"""By API and role."""


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    with apis_over_one_shop(tmp_path_factory.mktemp("fuzzing")) as made:
        yield made


def fuzz(apis: Apis, api: str, role: str, folder: Path, *, phases: str, examples: int, walks: int = 0,
         only: str = ".") -> Found:  # fmt: skip
    """One run of Schemathesis, over the paths that match `only`."""
    config = folder / "fuzzing.toml"
    settings = (ROOT / "tests" / "fuzzing.toml").read_text()
    config.write_text(settings + f"generation.max-examples = {walks}\n" * (walks > 0))
    options = ["--phases", phases, "--max-examples", str(max(1, examples)), "--seed", "1", "--no-shrink"]
    mode = [] if examples else ["--mode", "positive"]
    report, told = folder / "report.json", folder / "events.ndjson"
    written = ["--report", "json,ndjson", "--report-json-path", str(report), "--report-ndjson-path", str(told)]
    # A stream of events never ends, and Schemathesis waits for the end.
    paths = ["--include-path-regex", only, "--exclude-path", "/ops/v1/events"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run", apis.description(api),
         *apis.headers(api, role), *options, *mode, *written, *paths, "--generation-database", "none", "--no-color",
         "--continue-on-failure"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    said = json.loads(report.read_bytes())
    assert (said["failures"], said["errors"], said["complete"]) == ([], [], True)
    known = re.search(r"selected / (\d+) total.*inferred|$", done.stdout.partition("API Links:")[2])
    total = int(known[1]) if known and known[1] else 0
    return Found(said["operations"], followed(told), total, said["test_cases"]["generated"])


def followed(told: Path) -> set[str]:
    """The links along which the fuzzer went on with what an answer had said."""
    scenarios = (json.loads(line).get("ScenarioFinished") for line in told.read_text().split("\n") if line)
    cases = (case for one in scenarios if one for case in one["recorder"].get("cases", {}).values())
    # A name that several links of one answer share gets a number, which depends on the paths that take part.
    names = (case["transition"]["id"] for case in cases if case.get("is_transition_applied"))
    return {re.sub(r"_\d+(?= -> )", "", name) for name in names}


def go_all_ways(apis: Apis, api: str, role: str, folder: Path) -> Found:
    """Many examples of each operation, then long walks."""
    found = fuzz(apis, api, role, folder, phases="coverage,fuzzing", examples=EXAMPLES)
    for only in (".", SHOPPING) if api == "services" else (".",):
        walked = fuzz(apis, api, role, folder, phases="stateful", examples=1, walks=3 * EXAMPLES, only=only)
        found.links |= walked.links
        found.known = max(found.known, walked.known)
        found.cases += walked.cases
    return found


@pytest.mark.parametrize(("api", "role", "few"), [one for one in RUNS if EXAMPLES or one[2] is not None], ids=str)
def test_no_operation_fails_or_breaks_its_contract(
    apis: Apis, api: str, role: str, few: int | None, tmp_path: Path
) -> None:
    if api == "operations":
        apis.prepare(role)
    least = 0
    if EXAMPLES:
        found = go_all_ways(apis, api, role, tmp_path)
    elif few:
        walks, least = SHORT_WALKS[api]
        found = fuzz(apis, api, role, tmp_path, phases="coverage,fuzzing,stateful", examples=few, walks=walks)
    else:
        found = fuzz(apis, api, role, tmp_path, phases="coverage", examples=0)
    FOUND[api, role] = found
    count = found.operations
    print(f"| {api} | {role} | {count['tested']} of {count['selected']} | {len(found.links)} of {found.known} |"
          f" {found.cases} | 0 |")  # fmt: skip
    assert count["tested"] == count["selected"] >= count["total"] - 1
    assert found.cases >= count["tested"]
    assert len(found.links) >= least


if EXAMPLES:  # short walks do not go all ways

    @pytest.mark.parametrize("api", sorted({api for api, _, _ in RUNS}))
    def test_every_link_was_followed(api: str) -> None:
        of_api = [found for (name, _), found in FOUND.items() if name == api]
        assert len(set.union(*(found.links for found in of_api))) == max(found.known for found in of_api) > 0


def test_the_books_are_whole_afterwards(apis: Apis) -> None:
    shop = apis.shop
    wait_until(lambda: not shop.groups["orders"].group.troubles(), "readiness after the fuzzing")
    apis.heal()
    events = [event for topic in TOPICS for event in shop.events(topic)]
    assert gaps(events) == []
    assert shop.get("orders", "/stopped").json() == [], "no event of a fuzzed request stops an aggregate"
    report = apis.audit()
    assert (report.ok, report.quiet) == (True, True)
    assert {one.name: (one.status, one.counter_examples) for one in report.invariants if one.status != "ok"} == {}
    assert {"analytics_equals_log", "analytics_equals_orders"} < {one.name for one in report.invariants}


def test_requests_of_services_over_postgresql_break_neither_contract_nor_book(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with apis_over_one_shop(tmp_path / "shop", request.getfixturevalue("postgres")) as made:
        found = fuzz(made, "services", "guest", tmp_path, phases="coverage", examples=1)
        assert found.operations["tested"] == found.operations["selected"]
        test_the_books_are_whole_afterwards(made)
