"""Payments and fraud outcomes: what became of each payment, by minute and by reason, as the events say it."""

from datetime import timedelta
from pathlib import Path

import pytest

from shop_stack.events import (
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
)
from tests.analytics_stand import NOW, Stand, stand
from tests.flows.shop_at_work import Shop
from tests.marts_stand import sent, told

pytestmark = pytest.mark.embedded
ASKED: dict[str, dict[str, str]] = {"payments_by_minute": {}, "declines_by_reason": {}}
EARLIER = NOW - timedelta(minutes=2)


def authorised(order_id: str, minor: int) -> PaymentAuthorised:
    return PaymentAuthorised(order_id=order_id, amount_minor=minor, provider_reference="r")


def test_a_minute_counts_what_became_of_payments_and_their_money(tmp_path: Path) -> None:
    events = [
        sent(authorised("a", 1000), EARLIER),
        sent(authorised("b", 300), EARLIER),
        sent(authorised("c", 50)),
        sent(PaymentDeclined(order_id="d", reason="suspected_fraud"), EARLIER),
        sent(PaymentDeclined(order_id="e", reason="card_expired"), EARLIER),
        sent(PaymentDeclined(order_id="f", reason="suspected_fraud")),
        sent(PaymentCaptured(order_id="a", amount_minor=1000)),
        sent(PaymentCaptured(order_id="b", amount_minor=300)),
        sent(PaymentRefunded(order_id="b", amount_minor=300)),
        sent(PaymentVoided(order_id="c")),
    ]
    said = told(tmp_path, events, ASKED)
    before, now = said["payments_by_minute"]
    assert before == {
        "minute": EARLIER.replace(tzinfo=None, second=0), "authorised": 2, "declined": 2, "suspected_fraud": 1,
        "captured": 0, "voided": 0, "refunded": 0, "authorised_minor": 1300, "captured_minor": 0, "refunded_minor": 0,
        "net_minor": 0, "share_declined": 0.5, "complete": True,
    }  # fmt: skip
    assert now == {
        "minute": NOW.replace(tzinfo=None, second=0), "authorised": 1, "declined": 1, "suspected_fraud": 1,
        "captured": 2, "voided": 1, "refunded": 1, "authorised_minor": 50, "captured_minor": 1300,
        "refunded_minor": 300, "net_minor": 1000, "share_declined": 0.5, "complete": False,
    }  # fmt: skip
    assert said["declines_by_reason"] == [
        {"reason": "suspected_fraud", "declined": 2, "share": 2 / 6, "share_of_declined": 2 / 3},
        {"reason": "card_expired", "declined": 1, "share": 1 / 6, "share_of_declined": 1 / 3},
    ]


def test_a_minute_without_a_decision_has_no_share_and_none_divides_by_nothing(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.put(PaymentCaptured(order_id="a", amount_minor=1))
        made.catch_up()
        assert [row["share_declined"] for row in made.ask("payments_by_minute")] == [None]
        assert made.ask("declines_by_reason") == []


def test_late_payments_come_into_the_minute_in_which_they_happened(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.put(authorised("a", 1))
        made.catch_up()
        made.ingest.roll_up()
        made.put(PaymentDeclined(order_id="b", reason="card_expired"), at=EARLIER)
        made.catch_up()
        assert [(r["authorised"], r["declined"]) for r in made.ask("payments_by_minute")] == [(0, 1), (1, 0)]
        assert made.ask("payments_by_minute", until=EARLIER.replace(second=0).isoformat()) == []


def test_a_sum_that_is_not_that_of_the_events_is_found(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.put(authorised("a", 10), PaymentDeclined(order_id="b", reason="card_expired"))
        made.catch_up()
        made.ingest.roll_up()
        made.check()
        made.warehouse.write("update kept_payment_minutes set amount_minor = 11 where outcome = 'authorised'")
        with pytest.raises(AssertionError, match="payments_reconcile"):
            made.check()


def test_a_real_shop_takes_as_much_as_its_provider_says(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", "monolith")
    try:
        shop.add_products({"p1": 100})
        done = [shop.order({"p1": n}) for n in (1, 2)]
        for order_id in done:
            shop.until_state(order_id, "completed")
        shop.behave(decline_rate=1.0)
        refused = shop.order({"p1": 3})
        shop.until_state(refused, "rejected")
        made = Stand(tmp_path, shop.log)
        made.catch_up()
        made.now = shop.clock() + timedelta(minutes=1)
        minutes = made.ask("payments_by_minute")
        said = {name: sum(row[name] for row in minutes) for name in ("authorised", "captured", "declined")}
        assert said == {"authorised": 2, "captured": 2, "declined": 1}
        books = shop.accounts()
        assert sum(row["net_minor"] for row in minutes) == sum(a["captured_minor"] for a in books.values()) == 1500
        assert [row["declined"] for row in made.ask("declines_by_reason")] == [1]
        made.check()
        made.warehouse.close()
    finally:
        shop.close()
