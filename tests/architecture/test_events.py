"""No orphan events: what is published is consumed, what is consumed is published, and the old stays readable."""

import json
from pathlib import Path
from typing import Any

import pytest

from shop_stack.envelope import decode, encode
from shop_stack.eventlog.embedded import EmbeddedLog
from shop_stack.events import CONTRACTS, TOPICS, Event, PersonScrubbed
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.service import Service
from shop_stack.stack import read_stack

pytestmark = pytest.mark.pure
OLD = Path(__file__).parents[1] / "contracts" / "old_payloads"
ROOT = Path(__file__).parents[2]
# Published by what is no service of the shop: who appends them, found by name in that folder.
# The answer of each that holds anything of a person; each answers for itself alone, under its own source.
ANSWERS = {PersonScrubbed}
OTHER_PUBLISHERS = {"shop_stack/operations", "analytics", "shop_stack/traffic", "shop_stack/eventlog"}


def cards() -> list[Service]:
    """All service cards of the bundled shop."""
    return [card_of(spec.name) for spec in read_stack().services]


def test_every_service_has_a_card_and_stands_in_the_stack() -> None:
    folders = {path.parent.name for path in (ROOT / "shop_stack" / "services").glob("*/__init__.py")}
    assert {c.name for c in cards()} == folders == {spec.name for spec in read_stack().services}


def test_what_is_published_is_declared_and_what_is_consumed_is_published() -> None:
    published = {event for c in cards() for event in c.publications}
    elsewhere = {e for e in CONTRACTS.values() if any(_names(ROOT / f, e) for f in OTHER_PUBLISHERS)}
    consumed = {event for c in cards() for event in c.subscriptions}
    assert consumed - published - elsewhere == set(), "consumed, and nobody publishes it"
    orphans = set(CONTRACTS.values()) - published - elsewhere
    assert orphans == set(), "declared, and nobody publishes it"


def test_each_event_has_one_publisher() -> None:
    owners: dict[type[Event], list[str]] = {}
    for c in cards():
        for event in c.publications - ANSWERS:
            owners.setdefault(event, []).append(c.name)
    assert {e.__name__: o for e, o in owners.items() if len(o) > 1} == {}


def test_a_request_is_consumed_by_the_service_it_is_made_to() -> None:
    requests = {e for e in CONTRACTS.values() if e.__name__.endswith("Requested") and e.type.startswith("shop.")}
    consumed = {event for c in cards() for event in c.subscriptions}
    assert requests - consumed == set()


def test_analytics_reads_every_topic(tmp_path: Path) -> None:
    assert "for topic in self._log.topics()" in (ROOT / "analytics" / "ingest.py").read_text()
    with EmbeddedLog(tmp_path) as log:
        assert {c.topic.name for c in CONTRACTS.values()} <= set(TOPICS) == set(log.topics())


def _names(folder: Path, event: type[Event]) -> bool:
    return any(f"{event.__name__}(" in path.read_text() for path in folder.rglob("*.py"))


@pytest.mark.parametrize("contract", list(CONTRACTS.values()), ids=lambda c: c.type)
def test_old_payloads_stay_readable(contract: type[Event]) -> None:
    kept = OLD / f"{contract.type}.json"
    assert kept.exists(), f"keep a payload of {contract.type} in {kept.name}: python -m tests.contracts.keep_payloads"
    for line in kept.read_bytes().splitlines():
        envelope = decode(line)
        assert type(envelope.data) is contract
        assert keeps(json.loads(line)["data"], json.loads(encode(envelope))["data"])


def keeps(old: Any, new: Any) -> bool:
    """Whether all that was said is still said, at every depth; only fields may have come."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(name in new and keeps(old[name], new[name]) for name in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(keeps, old, new))
    return bool(old == new)


def test_a_field_that_came_is_kept_and_one_that_went_or_changed_is_not() -> None:
    assert keeps({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": []}], "d": 2})
    assert not keeps({"a": [{"b": 1}]}, {"a": [{"c": 1}]})
    assert not keeps({"a": [{"b": 1}]}, {"a": [{"b": 2}]})
    assert not keeps({"a": [1]}, {"a": []})
