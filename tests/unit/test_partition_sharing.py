"""How a group's partitions are shared: whole, even, and with few moves."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.eventlog.embedded.sharing import share

pytestmark = pytest.mark.pure
PARTITIONS = [(topic, number) for topic in ("a", "b") for number in range(6)]
BOTH = frozenset({"a", "b"})


@given(st.sets(st.integers(0, 9), min_size=1), st.dictionaries(st.sampled_from(PARTITIONS), st.integers(0, 9).map(str)))
def test_every_partition_has_one_member_and_shares_differ_by_one_at_most(
    numbers: set[int], previous: dict[tuple[str, int], str]
) -> None:
    members = {str(number): BOTH for number in numbers}
    owners = share(members, PARTITIONS, previous)
    load = Counter(owners.values())
    assert set(owners) == set(PARTITIONS)
    assert max(load[m] for m in members) - min(load[m] for m in members) <= 1
    assert share(members, PARTITIONS, owners) == owners


def test_a_joining_member_takes_no_more_than_its_share_and_of_every_topic() -> None:
    before = share({"1": BOTH}, PARTITIONS, {})
    after = share({"1": BOTH, "2": BOTH}, PARTITIONS, before)
    moved = Counter(topic for (topic, number), owner in after.items() if owner == "2")
    assert moved == {"a": 3, "b": 3}


def test_when_a_member_leaves_the_others_keep_theirs() -> None:
    three = share(dict.fromkeys("123", BOTH), PARTITIONS, {})
    two = share(dict.fromkeys("12", BOTH), PARTITIONS, three)
    assert all(two[p] == owner for p, owner in three.items() if owner != "3")


def test_a_member_gets_only_topics_that_it_subscribed() -> None:
    owners = share({"1": BOTH, "2": frozenset({"b"})}, PARTITIONS, {})
    assert all(owners["a", number] == "1" for number in range(6))
    assert all(owners["b", number] == "2" for number in range(6))
