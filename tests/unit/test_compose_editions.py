"""In a rolling upgrade: which replicas are the successors, and in what order the others leave."""

import msgspec
import pytest

from shop_stack.runtime.compose.docker import CONFIG, NUMBER, Container
from shop_stack.runtime.compose.editions import leaving_order, newest, pattern

pytestmark = pytest.mark.pure
ALL = {"1", "2", "3", "4"}


def _container(number: int, created: int, image: str = "a", config: str = "h") -> Container:
    labels = {NUMBER: str(number), CONFIG: config}
    told = {"Id": f"{number}", "Names": [f"/orders-{number}"], "Labels": labels, "State": "running", "Status": "Up",
            "Created": created, "ImageID": image, "NetworkSettings": {}}  # fmt: skip
    return msgspec.convert(told, Container)


def _numbers(containers: list[Container]) -> list[int]:
    return [one.number for one in containers]


def test_of_one_edition_the_highest_number_leaves_first() -> None:
    three = [_container(2, 20), _container(1, 10), _container(3, 15)]
    assert _numbers(newest(three)) == [1, 2, 3]
    assert _numbers(leaving_order(three, ALL)) == [3, 2, 1]


@pytest.mark.parametrize("other", [{"image": "b"}, {"config": "i"}])
def test_the_older_edition_leaves_first_and_the_oldest_of_it_before_the_others(other: dict[str, str]) -> None:
    mixed = [_container(1, 12), _container(2, 10), _container(3, 30, **other), _container(4, 31, **other)]
    assert _numbers(newest(mixed)) == [3, 4]
    assert _numbers(leaving_order(mixed, ALL)) == [2, 1, 4, 3]


def test_a_successor_under_a_low_number_is_the_newest_all_the_same() -> None:
    mixed = [_container(1, 40, image="b"), _container(2, 10)]
    assert _numbers(newest(mixed)) == [1]
    assert _numbers(leaving_order(mixed, ALL)) == [2, 1]


def test_nothing_runs() -> None:
    assert newest([]) == [] == leaving_order([], ALL)


def test_a_successor_that_does_not_become_ready_leaves_before_those_that_serve_and_is_not_copied() -> None:
    failing = [_container(1, 10), _container(2, 11), _container(3, 30, image="b")]
    assert _numbers(leaving_order(failing, {"1", "2"})) == [3, 1, 2]
    assert pattern(failing, {"1", "2"}).number == 1
    assert pattern(failing, ALL).number == 3
    assert pattern(failing, set()).number == 3
