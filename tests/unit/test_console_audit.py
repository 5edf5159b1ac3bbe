"""The books in words: every verdict, old and late audits, what fits a line, and which id is an order's."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from console.rows import audit, plain
from console.rows.audit import Audited
from console.rows.invariants import MEANINGS, Meaning, meaning_of
from console.zone import shown_in, zone_called
from shop_stack.operations.audit import Invariant, Report
from tests.screens.fake_audits import ORDER, invariant, report

pytestmark = pytest.mark.pure
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
BROKEN = invariant("captured_at_most_once", "violated", f"{ORDER} was captured 2 times by the provider's ledger")
KNOWN = invariant("orders_reach_an_end", "explained", f"{ORDER} is still reserved after 900 s")
UNSEEN = invariant("analytics_equals_log", "skipped", because="analytics is not running")
MOVING = invariant("inboxes_equal_log", in_flight=12345)


def made(*found: Invariant, **changes: object) -> Audited:
    return Audited(report(*found, watermark=NOW, **changes), NOW)


def report_of(audited: Audited) -> Report:
    assert audited.report is not None
    return audited.report


def found_of(audited: Audited, name: str) -> Invariant:
    found = audit.find(audited.report, name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("audited", "said", "tone"),
    [
        (made(), "The books balance: 20 of 20 invariants hold", "ok"),
        (made(KNOWN), "The books balance: 19 of 20 invariants hold, 1 differs for a known reason", "warn"),
        (made(UNSEEN), "Nothing is broken, but 1 of 20 could not be looked at; 19 hold", "warn"),
        (made(BROKEN), "THE BOOKS DO NOT BALANCE: 1 of 20 broken: no order is charged twice", "bad"),
        (made(BROKEN, UNSEEN, KNOWN), "THE BOOKS DO NOT BALANCE: 1 of 20 broken, 1 skipped: no order is charged twice",
         "bad"),
        (made(orders=0), "Nothing to balance yet: no order was placed; 20 of 20 invariants hold", "plain"),
        (made(UNSEEN, orders=0), "Nothing is broken, but 1 of 20 could not be looked at; 19 hold", "warn"),
    ],
)  # fmt: skip
def test_the_verdict_is_one_sentence(audited: Audited, said: str, tone: str) -> None:
    assert audit.verdict(report_of(audited)) == (said, tone)


@pytest.mark.parametrize(
    "audited",
    [made(), made(strict=True), made(quiet=False), made(MOVING, orders=100_000, records=3_000_000, seconds=12.3)],
)
@pytest.mark.parametrize("later", [timedelta(seconds=5), timedelta(hours=3)])
def test_the_three_lines_fit_80_columns(audited: Audited, later: timedelta) -> None:
    lines = [plain(line) for line in audit.title(audited, NOW + later, 78)]
    assert len(lines) == 3
    if later < audit.OLD:
        assert max(map(len, lines)) <= 78, lines
    assert ("OLD" in lines[1]) == (later > audit.OLD)


def test_a_watermark_that_stands_still_is_said() -> None:
    late = msgspec.structs.replace(report(), watermark=NOW - timedelta(minutes=7))
    assert "(7 min behind)" in plain(audit.title(Audited(late, NOW), NOW, 78)[1])
    assert "behind" not in plain(audit.title(made(), NOW, 78)[1])


def test_strict_quiet_and_moving_differ_in_words() -> None:
    said = [plain(audit.title(one, NOW, 78)[2]) for one in
            (made(), made(quiet=False), made(MOVING), made(MOVING, strict=True))]  # fmt: skip
    assert [words.split(":")[0] for words in said] == ["quiet", "not quiet", "12,345 in flight", "strict"]


def test_every_row_fits_80_columns_and_says_its_status_in_a_word() -> None:
    audited = made(BROKEN, KNOWN, UNSEEN, MOVING)
    rows = [plain(row.line) for row in audit.rows(audited, 78)]
    assert {len(row) for row in rows} == {78} == {len(plain(audit.heading(78)))}
    assert [row[:11].rstrip() for row in rows[:4]] == ["✖ BROKEN", "? skipped", "● explained", "✔ ok"]


def test_old_rows_are_dimmed() -> None:
    stale = made(BROKEN)._replace(trouble="no answer")
    assert {span.tone for row in audit.rows(stale, 150) for span in row.line} == {"dim"}
    assert {span.tone for row in audit.rows(made(BROKEN), 150) for span in row.line} > {"dim", "bad"}


@pytest.mark.parametrize(("name", "meaning"), MEANINGS.items())
def test_every_meaning_fits_and_says_what_to_do(name: str, meaning: Meaning) -> None:
    assert len(meaning.short) <= 40, name
    assert meaning.short[0].islower()
    assert meaning.sentence.endswith(".")
    assert meaning.remedy.endswith(".")
    assert max(len(meaning.sentence), len(meaning.remedy)) <= 3 * 70, name
    assert ("o opens" in meaning.remedy) <= (meaning.about != "other"), name


def test_an_invariant_that_nobody_described_is_called_by_its_name() -> None:
    assert meaning_of("parcels_fly").short == "parcels fly"


@pytest.mark.parametrize(
    ("name", "example", "order"),
    [
        ("money_equals_orders", f"{ORDER} is completed", ORDER),
        ("outboxes_equal_log", f"{ORDER} is in shop.orders and in no outbox", ORDER),
        ("stock_adds_up", f"{ORDER} has 3 units", ""),
        ("money_equals_orders", "50 orders cost 3", ""),
        ("outboxes_equal_log", "12 more was sent", ""),
        ("money_equals_orders", "", ""),
    ],
)
def test_only_an_id_where_orders_are_named_is_an_order(name: str, example: str, order: str) -> None:
    assert audit.order_of(invariant(name, "violated"), example) == order


def test_what_to_do_depends_on_the_status() -> None:
    nexts = {one.status: plain(audit.next_step(one, "", 300)[-1]) for one in (BROKEN, KNOWN, UNSEEN, MOVING)}
    assert "Refund the second capture" in nexts["violated"]
    assert "incident" in nexts["explained"]
    assert "shopfloor status" in nexts["skipped"]
    assert "nothing is to be done" in nexts["ok"]


def test_one_row_is_one_row() -> None:
    assert "1 row checked" in plain(audit.explain(invariant("stock_adds_up", rows_checked=1), 78, 4)[0])
    assert plain(audit.finding_title(found_of(made(BROKEN), BROKEN.name))).endswith("; 1 broken, 1,234 rows")


def test_what_ended_unseen_is_told() -> None:
    assert audit.news(Audited()) is None
    assert audit.news(Audited(trouble="away")) == ("no audit: away", "bad")
    assert audit.news(made(strict=True)) == (
        "judged strictly: The books balance: 20 of 20 invariants hold; b shows it",
        "ok",
    )


def test_the_watermark_is_of_the_stacks_zone() -> None:
    moved = shown_in(zone_called("Asia/Tokyo"), report_of(made()))
    assert "up to 21:00:00 JST" in plain(audit.title(Audited(moved, NOW), NOW, 78)[1])
