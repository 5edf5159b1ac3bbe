"""What analytics keeps of an earlier minute, as the fake server answers it: payments slow, an incident, a scaling."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shop_stack.stack import read_stack
from tests.screens.fake_journeys import EXPLOIT

FIRST = datetime(2026, 10, 3, 8, 0, tzinfo=UTC)
VITALS = [
    {"metric": "revenue", "unit": "minor", "today": 1234567, "same_weekday": 1100000, "change": 0.12},
    {"metric": "orders", "unit": "count", "today": 431, "same_weekday": 440, "change": -0.02},
    {"metric": "average_order", "unit": "minor", "today": 2864, "same_weekday": 2500, "change": 0.14},
    {"metric": "conversion", "unit": "ratio", "today": 0.024, "same_weekday": 0.024, "change": 0.0},
    {"metric": "sessions", "unit": "count", "today": 17958, "same_weekday": 18000, "change": None},
]


def rows(question: str, query: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of one question; those that look back are as of their `at`."""
    at = datetime.fromisoformat(query["at"]) if "at" in query else datetime.now(UTC)
    if question == "vital_signs":
        return VITALS
    if question == "data_range":
        return [{"origin": "live", "first": iso(FIRST), "last": iso(datetime.now(UTC)), "events": 9}]
    if question == "service_minutes":
        return [_service(spec.name, at - timedelta(minutes=n)) for n in (2, 1) for spec in read_stack().services]
    return {
        "lag_by_group": _groups, "lag_by_partition": _partitions, "replicas": _replicas, "incidents": _incidents,
        "operator_actions": _actions, "events_by_topic_by_minute": _topics,
    }[question](at)  # fmt: skip


def iso(at: datetime) -> str:
    """As analytics writes a time."""
    return at.isoformat().replace("+00:00", "Z")


def _service(name: str, minute: datetime) -> dict[str, Any]:
    slow = name == "payments"
    return {"minute": iso(minute), "service": name, "origin": "live", "requests_per_minute": 330.0,
            "error_rate": 0.0, "p95_ms": 912.0 if slow else 21.0, "ready": 1, "lag": 120 if slow else 0,
            "cpu_cores": 0.04, "complete": True}  # fmt: skip


def _groups(at: datetime) -> list[dict[str, Any]]:
    return [{"minute": iso(at - timedelta(minutes=1)), "group": "payments", "lag": 120, "seconds": 12.4,
             "orders_waiting": 13, "waiting_minor": 123_400}]  # fmt: skip


def _partitions(at: datetime) -> list[dict[str, Any]]:
    return [{"minute": iso(at - timedelta(minutes=1)), "group": "payments", "topic": "shop.orders", "partition": 3,
             "lag": 118, "seconds": 12.4, "share": 0.98}]  # fmt: skip


def _replicas(at: datetime) -> list[dict[str, Any]]:
    return [{"minute": iso(at - timedelta(minutes=1)), "service": spec.name, "group": spec.name, "wanted": 1,
             "ready": 1, "least_ready": 0, "most_ready": 1, "mean_ready": 0.9, "short_seconds": 6.0,
             "complete": True} for spec in read_stack().services]  # fmt: skip


def _incidents(at: datetime) -> list[dict[str, Any]]:
    opened = {"incident_id": "then-1", "kind": "stopped_aggregate", "service": "payments", "subject": None,
              "summary": f"payments lost its way {EXPLOIT}", "opened_at": iso(at - timedelta(minutes=7)),
              "acknowledged_at": None, "owner": None, "resolved_at": None, "seconds": 420.0,
              "orders": None, "orders_open": None, "amount_minor": None, "oldest": None}  # fmt: skip
    over = opened | {"incident_id": "then-0", "resolved_at": iso(at - timedelta(minutes=3)), "owner": "anna"}
    stuck = opened | {"incident_id": "then-2", "kind": "checkout_stuck", "service": "orders", "orders": 12,
                      "orders_open": 9, "amount_minor": 52_000, "oldest": "o-1,o-2,o-3", "owner": "anna",
                      "summary": "orders are stuck and wait for payments"}  # fmt: skip
    return [over, opened, stuck]


def _actions(at: datetime) -> list[dict[str, Any]]:
    measured = dict.fromkeys(
        ("expected_utilisation", "utilisation_before", "utilisation_after", "expected_p95_ms", "p95_before_ms",
         "p95_after_ms", "verdict", "because", "error", "finished_at")
    )  # fmt: skip
    one = measured | {"requested_at": iso(at - timedelta(minutes=5)), "action_id": "act-1", "kind": "scale",
                      "service": "payments", "group": "payments", "actor": "anna", "reason": f"slow {EXPLOIT}",
                      "previous": 3, "replicas": 1, "outcome": "applied"}  # fmt: skip
    return [one, one | {"action_id": "act-2", "kind": "restart", "outcome": "failed", "error": "no such replica"}]


def _topics(at: datetime) -> list[dict[str, Any]]:
    return [{"minute": iso(at - timedelta(minutes=n)), "topic": "shop.orders", "events": 40 + n, "complete": True}
            for n in range(60, 0, -1)]  # fmt: skip
