"""Incidents and operators' actions: what began and ended when, whose it was, and what came of what was done."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.checks import all_checks
from shop_stack.events import (
    ActionApplied,
    ActionFailed,
    ActionRequested,
    Effect,
    IncidentAcknowledged,
    IncidentOpened,
    IncidentResolved,
    VerdictReached,
)
from tests.analytics_stand import NOW, stand
from tests.marts_stand import Sent, sent, told

pytestmark = pytest.mark.embedded


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def opened(identifier: str, minutes: float, subject: str | None = None) -> Sent:
    event = IncidentOpened(
        incident_id=identifier, kind="crash_loop", service="orders", summary=f"{identifier} is wrong", subject=subject
    )
    return sent(event, ago(minutes))


def resolved(identifier: str, minutes: float) -> Sent:
    return sent(IncidentResolved(incident_id=identifier), ago(minutes))


def taken(identifier: str, actor: str, minutes: float) -> Sent:
    return sent(IncidentAcknowledged(incident_id=identifier, actor=actor), ago(minutes))


def brief(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(r["incident_id"], r["owner"], r["seconds"], r["resolved_at"] is not None) for r in rows]


def test_incidents_have_a_start_an_end_an_owner_and_a_duration(tmp_path: Path) -> None:
    events = [
        opened("one", 50, "o1"), taken("one", "anna", 48), taken("one", "bert", 47), resolved("one", 40),
        opened("two", 30), opened("three", 20), taken("three", "anna", 10),
        opened("again", 9), resolved("again", 8), opened("again", 5), taken("again", "cleo", 4), resolved("again", 3),
        opened("again", 2), resolved("not yet opened", 1),
    ]  # fmt: skip
    rows = told(tmp_path, events, {"incidents": {}})["incidents"]
    assert brief(rows) == [
        ("one", "bert", 600, True),
        ("two", None, 1800, False),
        ("three", "anna", 1200, False),
        ("again", None, 60, True),
        ("again", "cleo", 120, True),
        ("again", None, 120, False),
    ]
    assert rows[0]["summary"] == "one is wrong"
    assert (rows[0]["kind"], rows[0]["service"], rows[0]["subject"]) == ("crash_loop", "orders", "o1")
    naive = [ago(minutes).replace(tzinfo=None) for minutes in (50, 48, 40)]
    assert [rows[0][name] for name in ("opened_at", "acknowledged_at", "resolved_at")] == naive


def test_a_span_has_the_incidents_that_were_open_in_it(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        for topic, record in (opened("one", 50), resolved("one", 40), opened("two", 30), opened("three", 5)):
            made.log.append(topic, [record])
        made.catch_up()
        assert [r["incident_id"] for r in made.ask("incidents", since=ago(39).isoformat())] == ["two", "three"]
        rows = made.ask("incidents", since=ago(60).isoformat(), until=ago(20).isoformat())
        assert brief(rows) == [("one", None, 600, True), ("two", None, 600, False)]


def stuck(order: str, minutes: float, *causes: str, amount: int | None = 1000) -> Sent:
    """What orders tells of an order of its own that is stuck."""
    event = IncidentOpened(
        incident_id=f"order-{order}", kind="checkout_stuck", service="orders", summary=f"order {order} is stuck",
        subject=order, waits_for=list(causes), amount_minor=amount,
    )  # fmt: skip
    return sent(event, ago(minutes))


def for_all(identifier: str, minutes: float, *cause: str) -> Sent:
    """What operations tells of all orders that are stuck for one cause."""
    event = IncidentOpened(incident_id=identifier, kind="checkout_stuck", service="orders", summary="orders are stuck",
                           waits_for=list(cause))  # fmt: skip
    return sent(event, ago(minutes))


def away(service: str, minutes: float) -> Sent:
    event = IncidentOpened(incident_id=f"away-{service}", kind="no_replica", service=service, summary="nobody is there")
    return sent(event, ago(minutes))


def counted(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {r["incident_id"]: (r["orders"], r["orders_open"], r["amount_minor"], r["oldest"]) for r in rows}


def test_orders_stuck_for_one_cause_are_one_incident_with_each_of_them_to_be_had(tmp_path: Path) -> None:
    events = [
        away("inventory", 30),
        stuck("o1", 28, "shipping", "inventory"), for_all("all", 27.9, "inventory"), stuck("o2", 27, "inventory"),
        stuck("o3", 26, "inventory", amount=None), stuck("o4", 25, "payments", "inventory"), resolved("order-o1", 24),
        stuck("o1", 23, "inventory"), resolved("order-o2", 22),
        stuck("p1", 21, "payments", amount=70), for_all("others", 20.9, "payments"),
    ]  # fmt: skip
    every = {"incidents": {}, "operator_actions": {}}
    rows = told(tmp_path / "open", events, every)["incidents"]
    assert counted(rows) == {
        "away-inventory": (None, None, None, None),
        "all": (4, 3, 3000, "o1,o2,o3"),
        "others": (1, 1, 70, "p1"),
    }
    with stand(tmp_path / "one") as made:
        for topic, record in events:
            made.log.append(topic, [record])
        made.catch_up()
        each = made.ask("incidents", incident_id="all")
        assert [(r["subject"], r["amount_minor"], r["resolved_at"] is None) for r in each] == [
            ("o1", 1000, False), ("o2", 1000, False), ("o3", None, True), ("o4", 1000, True), ("o1", 1000, True)
        ]  # fmt: skip
        assert made.ask("incidents", incident_id="away-inventory") == []
        before = counted(made.ask("incidents", until=ago(25.5).isoformat()))
        assert before["all"] == (3, 3, 2000, "o1,o2,o3"), "as it stood then"


def test_an_order_that_no_incident_stands_for_is_one_itself(tmp_path: Path) -> None:
    events = [
        stuck("early", 50, "payments"), resolved("order-early", 45),
        for_all("all", 40, "payments"), stuck("other", 39, "delivery"), stuck("untold", 38), resolved("all", 35),
        stuck("late", 30, "payments"), for_all("unknown", 29, "an answer"),
    ]  # fmt: skip
    rows = told(tmp_path, events, {"incidents": {}})["incidents"]
    assert counted(rows) == {
        "order-early": (1, 0, 1000, "early"),
        "all": (0, 0, None, None),
        "order-other": (1, 1, 1000, "other"),
        "order-late": (1, 1, 1000, "late"),
        "unknown": (1, 1, 1000, "untold"),
    }


def test_an_incident_for_all_of_an_earlier_version_names_no_cause_and_stands_for_each_order(tmp_path: Path) -> None:
    rows = told(tmp_path, [stuck("o1", 9), for_all("all", 8), stuck("o2", 7)], {"incidents": {}})["incidents"]
    assert counted(rows) == {"all": (2, 2, 2000, "o1,o2")}


def requested(identifier: str, minutes: float, replicas: int | None = None) -> Sent:
    event = ActionRequested(
        action_id=identifier, kind="scale" if replicas else "restart", service="orders", group="orders", actor="anna",
        reason="load", replicas=replicas, previous=1 if replicas else None, expected_p95_ms=80.0,
        expected_utilisation=0.5,
    )  # fmt: skip
    return sent(event, ago(minutes))


def effect(p95_ms: float | None, utilisation: float) -> Effect:
    return Effect(seconds=60, request_rate=9, error_rate=0, p95_ms=p95_ms, lag=0, utilisation=utilisation)


def test_actions_have_what_was_asked_done_and_concluded(tmp_path: Path) -> None:
    verdict = VerdictReached(
        action_id="a",
        service="orders",
        before=effect(200, 1.1),
        after=effect(90, 0.55),
        verdict="helped",
        because="p95",
    )
    events = [
        requested("a", 9, 3),
        sent(ActionApplied(action_id="a", service="orders", seconds=4.0), ago(8)),
        sent(verdict, ago(7)),
        requested("b", 5),
        sent(ActionFailed(action_id="b", service="orders", error="no such replica"), ago(4)),
        requested("c", 3, 2),
        sent(ActionApplied(action_id="of long ago", service="orders", seconds=4.0), ago(2)),
    ]
    rows = told(tmp_path, events, {"operator_actions": {}})["operator_actions"]
    said = [(r["action_id"], r["kind"], r["previous"], r["replicas"], r["outcome"], r["verdict"]) for r in rows]
    assert said == [
        ("a", "scale", 1, 3, "applied", "helped"),
        ("b", "restart", None, None, "failed", None),
        ("c", "scale", 1, 2, "under way", None),
    ]
    first, second, _ = rows
    assert (first["expected_p95_ms"], first["p95_before_ms"], first["p95_after_ms"]) == (80, 200, 90)
    assert (first["expected_utilisation"], first["utilisation_before"], first["utilisation_after"]) == (0.5, 1.1, 0.55)
    assert (first["actor"], first["reason"], first["group"], first["because"]) == ("anna", "load", "orders", "p95")
    assert [r["finished_at"] for r in rows] == [ago(8).replace(tzinfo=None), ago(4).replace(tzinfo=None), None]
    assert second["error"] == "no such replica"


def test_a_step_that_is_missing_is_found(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        for topic, record in (opened("one", 3), requested("a", 2), resolved("one", 1)):
            made.log.append(topic, [record])
        made.catch_up()
        made.ingest.roll_up()
        made.check()
        made.warehouse.write("delete from kept_incident_steps where step = 'resolved'")
        [check] = [one for one in all_checks() if one.name == "steps_match"]
        assert made.warehouse.ask(check.sql, check.bound(made.now)).rows == [("incident resolved", 1, 0)]
