"""The ordeal of the process stack, undergone by containers: faults under load, then all is normal and the books hold.

`python -m tests.soak.compose_chaos` gives every fault a load of its own, with several seeds.
"""

from collections.abc import Iterator

import pytest

from shop_stack.trials.chaos import run
from tests.compose.project import Project
from tests.compose.stand import ComposeStand, one_after_the_other

LOAD_S = 55.0
START_S = 240.0
NOBODY = ("502", "503", "504", "Error")
VICTIMS = ("kill-replica", "kill-analytics", "kill-gateway", "kill-kafka", "kill-postgres")


@pytest.fixture
def stand(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStand]:
    """The project without its own shoppers: only then a strict audit can be made."""
    project.compose("stop", "shoppers")
    stand = ComposeStand.on(project, tmp_path_factory.mktemp("stand"))
    assert stand.quiet(START_S), "the made-up past is read by then, and all that was sold"
    yield stand
    stand.close()
    project.compose("start", "shoppers")


def test_five_parts_die_under_load_one_after_the_other_and_nothing_is_lost(stand: ComposeStand) -> None:
    normal: dict[str, float | None] = {}
    done = run(stand, one_after_the_other(VICTIMS, normal), seed=1, rate=3, seconds=LOAD_S)
    print(normal, done)
    assert set(normal) == set(VICTIMS), done.because
    assert None not in normal.values(), normal
    assert done.verdict == "ok", (done.because, done.counter_examples)
    assert len(done.audit) >= 20, "every invariant was judged"
    assert set(done.audit.values()) == {"ok"}, done.audit
    assert done.orders["placed"] > 10
    assert done.orders["open"] == 0
    assert all(kind.endswith(NOBODY) for kind in done.failures), "nobody answers while the door is away"
