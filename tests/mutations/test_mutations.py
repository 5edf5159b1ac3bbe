"""Every seeded bug is caught by the simulation within a bounded number of schedules; prints how many each took."""

from collections.abc import Iterator

import pytest

from shop_stack.trials.plan import draw
from shop_stack.trials.shop import shelf
from shop_stack.trials.simulation import run
from tests.mutations import bugs_of_delivery, bugs_of_services
from tests.mutations.table import BUGS, Bug

pytestmark = pytest.mark.embedded
MOST_SCHEDULES = 150
FIRST_SEED = 1
_caught: dict[str, tuple[int, str]] = {}


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print the table: bug, schedules until caught, what was broken."""
    yield
    for name, (schedules, invariant) in _caught.items():
        print(f"{schedules:5}  {name}: {invariant}")


def until_caught(most: int) -> tuple[int, str]:
    """How many schedules it takes until the books do not balance, and the first invariant broken."""
    for schedules in range(1, most + 1):
        outcome = run(draw(FIRST_SEED + schedules - 1))
        if outcome.violations:
            return schedules, outcome.violations[0].invariant
    return 0, "nothing"


def test_there_are_enough_bugs() -> None:
    entered = {bug.__module__ for bug in BUGS.values()}
    assert entered == {bugs_of_delivery.__name__, bugs_of_services.__name__}
    assert len(BUGS) >= 20


@pytest.mark.parametrize("seeded", list(BUGS.values()), ids=list(BUGS))
def test_a_bug_is_caught(seeded: Bug, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf()
    name = request.node.callspec.id
    with monkeypatch.context() as patch:
        seeded(patch)
        schedules, invariant = until_caught(MOST_SCHEDULES)
    shelf().stores["inventory"].kept().driver.execute("PRAGMA ignore_check_constraints=OFF")
    assert schedules, f"{name}: not caught in {MOST_SCHEDULES} schedules"
    _caught[name] = schedules, invariant


def test_the_shop_without_a_bug_is_not_accused() -> None:
    assert until_caught(25) == (0, "nothing")
