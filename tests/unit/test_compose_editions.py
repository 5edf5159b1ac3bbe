"""In a rolling upgrade: which replicas are the successors, and in what order the others leave."""

import pytest

from shop_stack.runtime.compose.docker import CONFIG, NUMBER, Container, _Networks
from shop_stack.runtime.compose.editions import leaving_order, newest

pytestmark = pytest.mark.pure


def _container(number: int, created: int, image: str = "a", config: str = "h") -> Container:
    labels = {NUMBER: str(number), CONFIG: config}
    return Container(id=f"{number}", names=[f"/orders-{number}"], labels=labels, state="running", status="Up",
                     created=created, image=image, network=_Networks())  # fmt: skip


def _numbers(containers: list[Container]) -> list[int]:
    return [one.number for one in containers]


def test_of_one_edition_the_highest_number_leaves_first() -> None:
    three = [_container(2, 20), _container(1, 10), _container(3, 15)]
    assert _numbers(newest(three)) == [1, 2, 3]
    assert _numbers(leaving_order(three)) == [3, 2, 1]


@pytest.mark.parametrize("other", [{"image": "b"}, {"config": "i"}])
def test_the_older_edition_leaves_first_and_the_oldest_of_it_before_the_others(other: dict[str, str]) -> None:
    mixed = [_container(1, 12), _container(2, 10), _container(3, 30, **other), _container(4, 31, **other)]
    assert _numbers(newest(mixed)) == [3, 4]
    assert _numbers(leaving_order(mixed)) == [2, 1, 4, 3]


def test_a_successor_under_a_low_number_is_the_newest_all_the_same() -> None:
    mixed = [_container(1, 40, image="b"), _container(2, 10)]
    assert _numbers(newest(mixed)) == [1]
    assert _numbers(leaving_order(mixed)) == [2, 1]


def test_nothing_runs() -> None:
    assert newest([]) == [] == leaving_order([])
