"""`shopfloor query`: a table for people, JSON for programs, and data that cannot steer the terminal."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shop_stack.__main__ import main
from shop_stack.settings import Endpoints
from tests.query_stand import Asked, asked
from tests.serving import served

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with asked(tmp_path_factory.mktemp("command")) as shop, served(shop.client.app) as address:
        _write_endpoints(shop, address)
        yield shop.home.path


def _write_endpoints(shop: Asked, analytics: str) -> None:
    fields = dict.fromkeys(Endpoints.__struct_fields__, "http://127.0.0.1:9")
    shop.home.endpoints.write_bytes(msgspec.json.encode(fields | {"analytics": analytics}))


def test_a_table_names_columns_rows_and_the_watermark(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select order_id, total_minor from orders_placed order by 1"
    assert main(["query", sql, "--limit", "2", "--home", str(home)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()][:3] == [
        ["order_id", "total_minor"], ["o1", "500"], ["o2", "700"]]  # fmt: skip
    assert main(["query", "select 1 as x", "--home", str(home)]) == 0
    assert capsys.readouterr().out == "x\n1\n1 row, as of 2026-11-18T12:00:30Z\n"


def test_json_is_the_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select count(*) as n from orders_placed"
    assert main(["query", sql, "--since", "2026-11-18T00:00:00Z", "--json", "--home", str(home)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rows"], answer["sql"], answer["truncated"]) == ([{"n": 2}], sql, False)


def test_a_statement_that_is_refused_exits_2_with_its_reason(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "drop table raw_events", "--home", str(home)]) == 2
    assert capsys.readouterr().err == "shopfloor: only a SELECT is answered, and this is DROP\n"
    assert main(["query", "--home", str(home)]) == 2


def test_the_relations_are_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--relations", "--home", str(home)]) == 0
    said = capsys.readouterr().out
    assert "orders_placed: one row per order placed here (live); --since and --until hold for placed_at" in said
    assert "    total_minor        its total, in minor units" in said


def test_data_cannot_steer_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select chr(27) || '[2J' || chr(155) || 'x' as \"a\u202eb\x1b\", ['y' || chr(7)] as l"
    assert main(["query", sql, "--home", str(home)]) == 0
    said = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    assert "[2J" in said
