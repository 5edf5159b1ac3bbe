"""Every seeded bug is caught by the simulation within a bounded number of schedules, most of them by the auditor."""

import pytest

from tests.mutations.bugs import BUGS
from tests.mutations.table import ENTERED_BY, MOST_SCHEDULES, Hunt, hunt, until_caught, written

pytestmark = pytest.mark.embedded


def test_there_are_enough_bugs() -> None:
    entered = {bug.__module__ for bug in BUGS.values()}
    assert entered == {module.__name__ for module in ENTERED_BY}
    assert len(BUGS) >= 20


@pytest.mark.parametrize("name", list(BUGS))
def test_a_bug_is_caught(name: str) -> None:
    found = hunt(name)
    assert found.schedules, f"{name}: not caught in {MOST_SCHEDULES} schedules"
    print(written([found]).splitlines()[-1])


def test_the_shop_without_a_bug_is_not_accused() -> None:
    assert until_caught(25) == (0, [])


def test_the_table_says_what_was_not_caught() -> None:
    hunts = [Hunt(bug="a", schedules=0, broken=[]), Hunt(bug="b", schedules=3, broken=["w", "x", "y", "z"])]
    assert written(hunts).splitlines()[2:] == ["| a | not caught |  |", "| b | 3 | w, x, y and 1 more |"]
