"""The questions' contract: columns by name, parameters checked, watermark and SQL with each answer, JSON and Arrow."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from analytics.desk import Desk
from analytics.ingest import Watermark
from analytics.questions import QUESTIONS
from analytics.questions_api import ARROW, make_app
from analytics.statements import names, statement
from analytics.warehouse import StatementTooSlow, WarehouseError
from shop_stack.access import Verifier, prepare_keys, read_token
from shop_stack.events import CONTRACTS
from shop_stack.settings import Home
from tests.analytics_stand import NOW, ZONE, Stand, placed, stand

pytestmark = pytest.mark.embedded
COLUMNS = {
    "orders_by_minute": "minute state orders value_minor",
    "revenue_by_day": "day origin orders revenue_minor average_order_minor complete",
    "vital_signs": "metric unit today same_weekday change definition origin_note",
    "top_products": "product_id name units revenue_minor orders origin",
    "funnel": "step position sessions share",
    "events_by_topic_by_minute": "minute topic events complete",
    "service_minutes": "minute service origin requests_per_minute error_rate p95_ms ready lag cpu_cores complete",
    "lag_by_group": "minute group lag seconds orders_waiting waiting_minor",
    "lag_by_partition": "minute group topic partition lag seconds share",
    "event_to_query_delay": "minute events median_ms p95_ms p99_ms",
    "order_journey": "at type source sequence event_id causation_id data",
    "forecasts": "series unit origin made_at history_end model status note backtest_mase "
    "at mean low80 high80 low95 high95",
    "forecast_peaks": "service peak_requests_per_minute at made_at status peak_high95 origin",
    "forecast_accuracy": "at actual mean low80 high80 made_at",
    "data_range": "origin first last events",
    "imports": "file_hash lines_read lines_imported reasons net_sales_minor reason_money_minor "
    "rounding_minor first last",
    "freshness": "topic partition position event_time",
    "order_states": "order_id state total_minor placed_at",
    "records_counted": "topic partition position records repeats",
    "data_quality": "topic records rejected reject_reasons repeats late unknown_types new_versions newest_event_at "
    "freshness_s",
    "checks": "name says state ran_at passed_at found example cpu_ms",
    "payments_by_minute": "minute authorised declined suspected_fraud captured voided refunded "
    "authorised_minor captured_minor refunded_minor net_minor share_declined complete",
    "stock_cover": "product_id name available reserved sold sold_per_day_7 sold_per_day_28 days_of_cover said "
    "changed_at",
    "event_flow": "source type consumer led_to events median_ms p95_ms retries dead_letters",
    "replicas": "minute service group wanted ready least_ready most_ready mean_ready short_seconds complete",
    "cost_by_hour": "hour group services replica_hours cpu_hours cost_minor orders cost_an_order_minor complete",
    "incidents": "incident_id kind service summary subject opened_at acknowledged_at owner resolved_at seconds orders "
    "orders_open amount_minor oldest",
    "operator_actions": "requested_at action_id kind service group actor reason previous replicas outcome finished_at "
    "error expected_utilisation expected_p95_ms utilisation_before utilisation_after p95_before_ms p95_after_ms "
    "verdict because",
    "customers_by_day": "day origin customers new_customers returning_customers orders revenue_minor registered "
    "complete",
    "customer_cohorts": "origin first_week cohort_customers weeks_later customers share orders revenue_minor complete",
    "declines_by_reason": "reason declined share share_of_declined",
}
NEEDED = {"order_journey": {"order_id": "o1"}, "forecast_accuracy": {"series": "orders:day"}}
Asked = tuple[Stand, TestClient[Litestar], Home]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    home = Home(tmp_path / "home")
    prepare_keys(home, datetime.now(UTC))
    with stand(tmp_path) as made:
        made.put(placed("o1"))
        made.catch_up()
        desk = Desk(made.warehouse, lambda: made.ingest.watermark, ZONE, now=lambda: made.now)
        with TestClient(make_app(desk, lambda: Verifier(home, "operators"))) as client:
            client.headers["authorization"] = f"Bearer {read_token(home, 'viewer')}"
            yield made, client, home


def get(client: TestClient[Litestar], name: str, **given: str) -> Any:
    return client.get(f"/analytics/v1/questions/{name}", params=given)


def test_all_questions_are_listed_with_grain_parameters_and_units(asked: Asked) -> None:
    listed = asked[1].get("/analytics/v1/questions").json()
    assert {q["name"] for q in listed} == set(COLUMNS) == set(QUESTIONS) == set(names("questions"))
    assert all(q["grain"].startswith("one row per") for q in listed)


@pytest.mark.parametrize("name", COLUMNS)
def test_an_answer_has_its_columns_watermark_and_sql(asked: Asked, name: str) -> None:
    response = get(asked[1], name, **NEEDED.get(name, {}))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [c["name"] for c in answer["columns"]] == COLUMNS[name].split()
    assert all(set(row) == set(COLUMNS[name].split()) for row in answer["rows"])
    assert answer["sql"] == statement(f"questions/{name}")
    assert answer["watermark"]["at"] == NOW.isoformat().replace("+00:00", "Z")
    assert sum(answer["watermark"]["positions"]["shop.orders"].values()) == 1
    assert {"question", "parameters", "origin_note"} <= set(answer)


def test_times_are_utc_and_json_stays_json(asked: Asked) -> None:
    row = get(asked[1], "order_journey", order_id="o1").json()["rows"][0]
    assert row["at"] == NOW.isoformat().replace("+00:00", "Z")
    assert row["data"]["order_id"] == "o1"


def test_the_same_answer_comes_as_an_arrow_stream(asked: Asked) -> None:
    response = asked[1].get("/analytics/v1/questions/orders_by_minute", headers={"accept": ARROW})
    table = pa.ipc.open_stream(response.content).read_all()
    assert table.to_pylist()[0]["orders"] == 1
    assert table.schema.metadata[b"sql"].decode() == statement("questions/orders_by_minute")


@pytest.mark.parametrize(
    ("name", "given", "status", "said"),
    [
        ("nothing", {}, 404, "there is no question 'nothing'"),
        ("funnel", {"colour": "red"}, 400, "no parameter 'colour'"),
        ("funnel", {"since": "yesterday"}, 400, "not an ISO 8601 time"),
        ("top_products", {"limit": "0"}, 400, "from 1 to 1000"),
        ("top_products", {"limit": "9" * 99}, 400, "from 1 to 1000"),
        ("revenue_by_day", {"origin": "guessed"}, 400, "is not one of"),
        ("order_journey", {}, 400, "'order_id' is needed"),
        ("cost_by_hour", {"cpu_hour_minor": "-1"}, 400, "is not an amount"),
        ("cost_by_hour", {"replica_hour_minor": "1e9"}, 400, "is not an amount"),
    ],
)
def test_a_bad_question_is_refused_as_a_problem(
    asked: Asked, name: str, given: dict[str, str], status: int, said: str
) -> None:
    response = get(asked[1], name, **given)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert said in response.json()["detail"]


def test_values_are_bound_and_never_part_of_the_statement(asked: Asked) -> None:
    evil = "o1' or true; drop table raw_events; --"
    assert get(asked[1], "order_journey", order_id=evil).json()["rows"] == []
    assert len(get(asked[1], "order_journey", order_id="o1").json()["rows"]) == 1


def test_only_operators_tokens_open_it(asked: Asked) -> None:
    _, client, home = asked
    assert client.get("/analytics/v1/questions", headers={"authorization": "Bearer x"}).status_code == 401
    from shop_stack.access import Signer

    shopper = Signer(home, "shoppers").issue("s", "guest", datetime.now(UTC), timedelta(hours=1))
    answer = client.get("/analytics/v1/questions", headers={"authorization": f"Bearer {shopper}"})
    assert answer.status_code == 401
    assert client.get("/readyz", headers={"authorization": ""}).status_code == 200


def test_a_halt_is_said_by_readyz_and_in_the_watermark(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    prepare_keys(home, datetime.now(UTC))
    with stand(tmp_path) as made:
        desk = Desk(made.warehouse, lambda: Watermark(halted="a foreign log"), ZONE)
        with TestClient(make_app(desk, lambda: Verifier(home, "operators"))) as client:
            assert client.get("/readyz").status_code == 503
            assert client.get("/readyz").json()["error"] == "a foreign log"
            client.headers["authorization"] = f"Bearer {read_token(home, 'viewer')}"
            assert get(client, "freshness").json()["watermark"]["halted"] == "a foreign log"


def test_a_slow_statement_is_interrupted_and_the_next_one_answers(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        with pytest.raises(StatementTooSlow):
            made.warehouse.ask("select sum(a.range * b.range) from range(1000000) a, range(1000000) b", {}, 0.2)
        assert made.warehouse.ask("select 1", {}).rows == [(1,)]


@pytest.mark.parametrize(
    "sql",
    ["select * from read_text('/etc/hostname')", "copy raw_events to '/tmp/x.csv'", "attach '/tmp/other.db'",
     "set memory_limit = '9GB'", "set enable_external_access = true"],
)  # fmt: skip
def test_no_statement_reaches_files_or_settings(tmp_path: Path, sql: str) -> None:
    with stand(tmp_path) as made:
        with pytest.raises(WarehouseError):
            made.warehouse.ask(sql, {})


def test_every_event_type_that_sql_names_is_declared() -> None:
    import re

    texts = [statement(f"{folder}/{n}") for folder in ("staging", "marts", "questions") for n in names(folder)]
    named = set(re.findall(r"'((?:shop|ops)\.[a-z-]+\.[a-z-]+\.v\d+)'", "\n".join(texts)))
    assert named
    assert named <= set(CONTRACTS)
