"""Every question is documented: each number has a unit, and the page in docs is that of the questions as they are."""

import re
from collections.abc import Iterator

import pytest

from analytics.describing import PAGE, columns_of, page
from analytics.questions import QUESTIONS
from analytics.statements import names
from analytics.warehouse import Warehouse
from shop_stack.trail import ROOT

pytestmark = pytest.mark.pure
_NUMBER = re.compile(r"INT|DOUBLE|FLOAT|DECIMAL")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    made = Warehouse(tmp_path_factory.mktemp("questions") / "warehouse.duckdb")
    yield made
    made.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_number_of_an_answer_has_a_unit_and_each_unit_a_column(warehouse: Warehouse, name: str) -> None:
    question = QUESTIONS[name]
    columns = columns_of(question, warehouse)
    numbers = {column for column, kind in columns if _NUMBER.search(kind)}
    assert numbers - question.units.keys() == set(), "say what it is counted in"
    assert question.units.keys() - {column for column, _ in columns} == set()
    assert all(question.units.values())


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_parameter_says_what_happens_without_it(name: str) -> None:
    assert all(parameter.required or parameter.says for parameter in QUESTIONS[name].takes)


def test_the_page_is_that_of_the_questions(warehouse: Warehouse) -> None:
    kept = (ROOT / PAGE).read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\w+)$", kept, re.M)) == set(QUESTIONS) == set(names("questions"))
    assert kept == page(warehouse), "write it anew: python -m analytics.describing"
