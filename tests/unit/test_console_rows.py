"""The console's rows: figures that fit, what is worst, what is stale, and text that is safe."""

import unicodedata
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from console import actions as registry
from console.rows import actions, events, figures, folded, journey, plain, replicas, services, stack
from console.screens.help import SIGNS, help_line
from console.text import fit, safe
from tests.screens.fake_journeys import EXPLOIT
from tests.screens.fake_journeys import journey as an_order
from tests.screens.fake_operations import State, effect, scaled, service, slow, tail_event
from tests.screens.fake_questions import VITALS

pytestmark = pytest.mark.pure
NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


@given(st.text())
def test_safe_text_drives_no_terminal_and_hides_nothing(data: str) -> None:
    shown = safe(data)
    kinds = {unicodedata.category(character) for character in shown}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(character) for character in shown} & {
        "RLO",
        "LRO",
        "RLE",
        "LRE",
        "RLI",
        "LRI",
    }


def test_safe_text_keeps_what_is_honest() -> None:
    assert safe("Žluťoučký kůň, 東京, £12.50 & [brackets]") == "Žluťoučký kůň, 東京, £12.50 & [brackets]"


def test_safe_text_shows_that_something_was_there() -> None:
    assert safe("a\x1b[31mb") == "a·[31mb"
    assert safe("txt\u202egnp.exe") == "txt·gnp.exe"
    assert safe("two\r\nlines\tof it") == "two lines of it"


def test_piled_marks_cannot_leave_their_line() -> None:
    assert len(safe("a" + "\u0301" * 50)) <= 3


@given(st.text(max_size=40), st.integers(1, 30), st.sampled_from(["left", "right"]))
def test_fit_is_exact(text: str, width: int, align: str) -> None:
    assert cell_len(fit(safe(text), width, align)) == width


@given(st.floats(0, 1e9))
def test_figures_stay_within_their_columns(number: float) -> None:
    assert len(figures.rate(number)) <= 5
    assert len(figures.count(number)) <= 4
    assert len(figures.milliseconds(min(number, 3.6e6))) <= 5
    assert len(figures.share(min(number, 1.0))) <= 5


@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(1, 60))
def test_a_sparkline_has_its_width(values: list[float], width: int) -> None:
    assert len(figures.sparkline(values, width)) == width


def test_a_sparkline_begins_at_zero_and_rises() -> None:
    assert figures.sparkline([0, 5, 10], 3) == "▁▄▇"
    assert figures.sparkline([], 4) == "    "
    assert figures.sparkline([0, 0], 4) == "  ▁▁"


def test_money_and_change() -> None:
    assert figures.money(123456, "GBP") == "GBP 1,234"
    assert figures.money(4599, "GBP") == "GBP 45.99"
    assert [figures.change(ratio) for ratio in (0.12, -0.5, 0.001, None)] == ["▲12%", "▼50%", "=", "–"]


@pytest.mark.parametrize("width", [60, 79, 100, 119, 159, 240])
def test_every_row_fits_the_table(width: int) -> None:
    views = [slow(service("recommendations")), service("orders", error_rate=1.0, lag=123456, request_rate=99999.0)]
    heading = plain(services.heading(services.columns(width)))
    assert len(heading) <= width
    assert {cell_len(plain(row.line)) for row in services.table(views, width)} == {len(heading)}


def test_all_that_must_be_seen_is_there_at_80() -> None:
    heading = plain(services.heading(services.columns(79)))
    for title in ("HEALTH", "REPL", "REQ/S", "ERR", "P95", "LAG", "LAST MIN", "PEAK 1H"):
        assert title in heading


def test_order_is_the_stacks_own_and_the_worst_is_marked_in_words() -> None:
    views = [service("storefront"), slow(service("payments")), service("orders")]
    rows = services.table(views, 79)
    assert [row.key for row in rows] == ["storefront", "payments", "orders"]
    assert plain(rows[1].line).startswith("!")
    assert "degraded" in plain(rows[1].line)
    assert services.worst(views) == "payments"


def test_a_dead_service_is_worse_than_a_slow_one() -> None:
    dead = service("catalog", health="down", because="no replica is ready", ready=0)
    assert services.worst([slow(service("payments")), dead]) == "catalog"


def test_nothing_is_worst_when_all_is_well() -> None:
    assert services.worst([service("catalog"), service("orders")]) is None


def test_a_service_that_somebody_stopped_is_said_and_comes_after_one_that_is_down() -> None:
    stopped = service("orders", health="stopped", desired=0, ready=0, replicas=[])
    down = service("catalog", health="down", ready=0, replicas=[])
    assert services.worst([service("catalog"), stopped]) == "orders"
    assert services.worst([stopped, down]) == "catalog"


def test_who_waits_for_another_comes_after_it_however_slow() -> None:
    cause = service("storefront", health="degraded", p95_ms=400.0)
    victim = service("orders", health="degraded", p95_ms=9000.0, error_rate=0.5, waits_for=["storefront"])
    assert services.worst([victim, cause]) == "storefront"
    assert services.worst([victim]) == "orders"
    assert services.worst([]) is None


def test_why_names_the_symptom_and_the_advice() -> None:
    first, second = services.why(slow(service("payments")), 120)
    assert plain(first) == "payments is degraded: p95 912 ms is over its objective of 250 ms"
    assert plain(second).startswith("advised: 1 → 3 replicas, press s: 92% used")


def test_a_symptom_is_found_even_where_the_api_gives_no_reason() -> None:
    view = service("orders", p95_ms=900.0, error_rate=0.2)
    assert services.symptom(view) == "p95 900ms, objective 250ms; errors 20%, objective 1.0%"


def _reading(age_s: float, **changes: object) -> stack.Reading:
    view = msgspec.structs.replace(State().view(), at=NOW, sampled_at=NOW - timedelta(seconds=age_s), **changes)
    return stack.Reading(view, NOW)


def test_old_data_is_said_with_its_age() -> None:
    reading = _reading(0.5)
    assert reading.freshness(NOW) == "live"
    later = NOW + timedelta(seconds=7)
    assert reading.freshness(later) == "stale"
    assert "STALE: 8 s old" in plain(stack.header(reading, later, 78, False))


def test_samples_that_stand_still_are_stale_though_operations_answers() -> None:
    reading = _reading(20.0)
    assert reading.freshness(NOW) == "stale"
    assert "samples stand still" in plain(stack.trouble(reading, NOW, 78))


def test_before_the_first_answer_each_state_has_its_word() -> None:
    states = (stack.Reading(), stack.Reading(trouble="nothing runs", empty=True), stack.Reading(trouble="refused"))
    said = [plain(stack.header(reading, NOW, 78, False)).split()[-1] for reading in states]
    assert said == ["connecting…", "RUNNING", "ANSWER"]


def test_dead_parts_and_the_worst_service_are_both_named() -> None:
    parts = [msgspec.structs.replace(p, up=p.name != "analytics", because="restarting") for p in State().parts]
    line = plain(stack.trouble(_reading(0.1, parts=parts, services=[slow(service("payments"))]), NOW, 78))
    assert "ANALYTICS DOWN" in line
    assert "! payments degraded" in line
    assert len(line) <= 78


def test_vital_signs_fit_and_say_what_they_are_compared_with() -> None:
    wide = plain(stack.vitals(stack.Vitals(VITALS, NOW), "GBP", NOW, 118))
    assert "revenue GBP 12,345 ▲12%" in wide
    assert "conv 2.4%" in wide
    assert wide.endswith("vs a week ago")
    assert len(plain(stack.vitals(stack.Vitals(VITALS, NOW), "GBP", NOW, 78)).rstrip()) <= 78


def test_vital_signs_of_imported_orders_alone_are_shown_with_their_day() -> None:
    note = "2011-12-09, the last day imported: imported; the same weekday: imported"
    rows = [row | {"origin_note": note} for row in VITALS]
    for width in (78, 118):
        line = plain(stack.vitals(stack.Vitals(rows, NOW), "GBP", NOW, width))
        assert line.startswith("imported 2011-12-09 revenue ")
        assert len(line.rstrip()) <= width


def test_old_vital_signs_say_so_and_none_say_why() -> None:
    old = stack.Vitals(VITALS, NOW - timedelta(seconds=40), "analytics does not answer")
    assert plain(stack.vitals(old, "GBP", NOW, 78)).startswith("OLD 40 s ")
    assert plain(stack.vitals(stack.Vitals(trouble="it is dead"), "GBP", NOW, 78)) == "shop today: it is dead"


def test_vital_signs_without_a_figure_show_a_dash() -> None:
    rows = [{"metric": "orders", "today": None, "change": None}]
    assert "orders –" in plain(stack.vitals(stack.Vitals(rows, NOW), "GBP", NOW, 78))


def test_a_filter_asks_for_all_words_and_against_some() -> None:
    event = tail_event(1, summary="total 45 customer-9")
    assert events.matches(event, "ORDER.placed customer-9")
    assert not events.matches(event, "placed -customer-9")
    assert not events.matches(event, "refund")


def test_samples_are_noise_until_asked_for() -> None:
    sample = tail_event(1, "ops.stack.sampled.v1", topic="ops.samples")
    assert not events.matches(sample, "")
    assert events.matches(sample, "sampled")


def test_an_event_row_is_harmless() -> None:
    line = plain(events.event_row(tail_event(1, summary=EXPLOIT, subject=EXPLOIT, type=EXPLOIT)).line)
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "[@click" in line


def test_an_action_is_followed_from_request_to_verdict() -> None:
    state = State()
    asked = scaled(state, "orders", {"replicas": 3, "reason": "slow"})
    at = asked.requested_at
    applied = msgspec.structs.replace(
        asked, state="applied", applied_at=at + timedelta(seconds=1.5), measure_until=at + timedelta(seconds=61)
    )
    measured = msgspec.structs.replace(
        applied, state="measured", verdict="helped", because="p95 fell", before=effect(900, 0.9), after=effect(90, 0.3)
    )
    assert actions.progress(asked, at + timedelta(seconds=1)).text == "applying 1 s"
    assert actions.progress(applied, at + timedelta(seconds=11)).text == "measuring 50 s"
    assert actions.progress(measured, at).text == "✔ HELPED"
    assert [actions.unfinished(action) for action in (asked, applied, measured)] == [True, True, False]
    assert actions.news(None, asked) is None
    assert actions.news(asked, applied) == (
        "scale orders 1→3: applied in 1.5 s; measuring for 60 s, then the verdict",
        "ok",
    )
    assert actions.news(applied, measured) == ("✔ HELPED scale orders 1→3: p95 fell", "ok")
    assert actions.news(measured, measured) is None
    assert "p95 900ms→90ms" in plain(actions.action_row(measured, at).line)
    assert "over 60 s" in "\n".join(map(plain, actions.story(measured, at)))


def test_a_failed_action_says_why() -> None:
    asked = scaled(State(), "orders", {"replicas": 3, "reason": "slow"})
    failed = msgspec.structs.replace(asked, state="failed", error="no port is free")
    assert actions.news(asked, failed) == ("scale orders 1→3 failed: no port is free", "bad")
    assert "no port is free" in plain(actions.explain(failed, NOW)[1])


def test_a_journey_is_a_waterfall_under_its_causes() -> None:
    rows = journey.waterfall(an_order("order-1"), 79)
    lines = [plain(row.line) for row in rows]
    assert lines[0].startswith("order.placed")
    assert lines[1].startswith(" inventory.reservation-requested")
    assert "30s" in lines[-2]
    assert all(cell_len(line) <= 79 for line in lines)


def test_a_journey_in_a_circle_ends() -> None:
    order = an_order("order-1")
    circle = [
        msgspec.structs.replace(step, caused_by=order.steps[-1 - i].event_id) for i, step in enumerate(order.steps)
    ]
    assert len(journey.waterfall(msgspec.structs.replace(order, steps=circle), 79)) == len(circle)
    assert journey.waterfall(msgspec.structs.replace(order, steps=[]), 79) == []


def test_a_steps_data_is_shown_a_field_a_line_and_harmless() -> None:
    shown = "\n".join(map(plain, journey.details(an_order("order-1").steps[0])))
    assert "[@click=app.scale('orders',0)]Jane" in shown
    assert "\x1b" not in shown


def test_replicas_say_what_moves_together() -> None:
    lines = [plain(row.line) for row in replicas.replica_rows(service("orders", moves_with=["payments"]))]
    assert "moves with payments" in lines[0]
    assert lines[-1].startswith("orders-1")


def test_a_long_sentence_is_folded_not_lost() -> None:
    lines = folded("one two three four five six seven", 20, 2)
    assert [plain(line) for line in lines] == ["one two three four", "five six seven"]


def test_read_only_binds_no_dangerous_action() -> None:
    dangerous = {action.keys for action in registry.ACTIONS if action.dangerous}
    assert dangerous == {"s", "r", "m"}
    assert not dangerous & {binding.key for binding in registry.bindings("floor", read_only=True)}


def test_no_key_is_bound_twice_in_a_scope() -> None:
    for screen in ("floor", "letters"):
        bound = [key for a in registry.ACTIONS if a.scope in ("list", screen) for key in a.keys.split(",")]
        assert len(bound) == len(set(bound))


def test_the_help_fits_80_columns() -> None:
    for action in registry.ACTIONS:
        assert len(plain(help_line(action.shown, action.help, action.dangerous))) <= 79, action.name
    for sign, meaning in SIGNS:
        assert len(plain(help_line(sign, meaning, False))) <= 79, sign


def test_an_event_row_does_not_repeat_the_order_it_names() -> None:
    event = tail_event(1, summary="order_id=0190-order-0001 total_minor=45 lines=2")
    line = plain(events.event_row(event).line)
    assert "total_minor=45 lines=2" in line
    assert "order_id" not in line


def test_a_shop_without_a_shopper_says_so() -> None:
    assert "no session and no order yet" in plain(stack.vitals(stack.Vitals([], NOW), "GBP", NOW, 78))


def test_a_peak_below_one_is_not_shown_as_none() -> None:
    assert "<1@" in plain(services.table([service("orders", forecast_peak=0.4)], 79)[0].line)


def test_the_reason_comes_before_the_hint_where_there_is_no_room_for_both() -> None:
    state = State()
    state.change("payments", slow)
    reading = stack.Reading(state.view(), NOW)
    wide, narrow = (plain(stack.trouble(reading, NOW, width)) for width in (100, 60))
    assert wide.endswith("92% used  ! goes there")
    assert narrow.startswith("! payments degraded: p95 912ms, objective 250ms")
    assert "goes there" not in narrow


def test_an_action_that_made_all_fail_tells_the_errors_first() -> None:
    state = State()
    before, after = effect(11.0, 0.2), msgspec.structs.replace(effect(10.0, 0.2), error_rate=1.0)
    action = msgspec.structs.replace(
        scaled(state, "orders", {"reason": "x", "replicas": 0}), state="measured", before=before, after=after,
        verdict="worse", because="x",
    )  # fmt: skip
    assert "errors 0%→100%, p95 11ms→10ms" in plain(actions.action_row(action, NOW).line)
    fine = msgspec.structs.replace(action, after=before)
    assert "errors" not in plain(actions.action_row(fine, NOW).line)


def test_a_high_peak_keeps_its_hour_where_the_minutes_have_no_room() -> None:
    rows = [
        plain(services.table([service("orders", forecast_peak=peak)], 79)[0].line) for peak in (18.0, 165.0, 13_000.0)
    ]
    assert [row.split()[-1] for row in rows] == ["18@20:40", "165@20h", "13k@20h"]
