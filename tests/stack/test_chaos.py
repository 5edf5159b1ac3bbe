"""Five faults on a real stack under load: then everything is normal again, and every invariant of the books holds.

`make soak` runs the whole table, with three seeds, on the embedded log and on Kafka.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_stack.settings import Home
from shop_stack.trials.chaos import run
from shop_stack.trials.chaos_faults import FAULTS
from shop_stack.trials.stand import Stand, prepared
from tests import needs

pytestmark = pytest.mark.real
LOAD_S = 8.0


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A stack with short deadlines that all faults befall in turn."""
    needs.envoy()
    made = Stand(Home(Path(tmp_path_factory.mktemp("chaos")) / "home"))
    try:
        yield prepared(made)
    finally:
        made.down()


@pytest.mark.parametrize("fault", ["kill-replica", "kill-analytics", "lost-answers", "poison", "torn-log"])
def test_the_books_balance_after(stand: Stand, fault: str) -> None:
    done = run(stand, FAULTS[fault], seed=1, seconds=LOAD_S)
    assert done.verdict == "ok", (done.because, done.counter_examples)
    assert done.back_to_normal_s is not None
    assert len(done.audit) >= 20, "every invariant was judged"
    assert set(done.audit.values()) <= {"ok"}, done.audit
    if fault != "torn-log":  # that one takes the shop away for most of the load
        assert done.orders["placed"] > 0
        assert done.failed_requests == 0
    if fault == "poison":
        assert done.dead_letters > 0
