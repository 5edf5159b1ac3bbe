"""Metrics as text: exact numbers, escaped labels, and a histogram that adds up."""

import pytest

from shop_stack.exposition import BOUNDS_S, Durations, histogram, metric
from tests.exposition import read

pytestmark = pytest.mark.pure


def test_labels_come_back_whatever_is_in_them() -> None:
    odd = 'a"b\\n\\\n{x="1"} 7'
    page = read(metric("odd_total", "counter", "Words.", [({"group": odd, "other": ""}, 1)]))
    assert page["odd_total"].samples == {("odd_total", frozenset({("group", odd), ("other", "")})): 1.0}


@pytest.mark.parametrize("value", [0, 1, 12_345_678, 0.1, 1_789_000_000.123, 1e-9, 2**53])
def test_numbers_are_exact(value: float) -> None:
    assert read(metric("n", "gauge", "A number.", [({}, value)]))["n"].values() == [value]


def test_a_histogram_counts_each_duration_in_its_bucket_and_all_above() -> None:
    durations = Durations()
    for seconds in (0.005, 0.006, 0.3, 60.0):
        durations.add(seconds)
    family = read(histogram("d_seconds", "Durations.", [({"service": "orders"}, durations)]))["d_seconds"]
    assert family.kind == "histogram"
    buckets = {
        dict(labels)["le"]: count for (name, labels), count in family.samples.items() if name == "d_seconds_bucket"
    }
    assert [float(bound) for bound in buckets] == [*BOUNDS_S, float("inf")]
    assert [buckets[bound] for bound in ("0.005", "0.01", "0.25", "0.5", "10", "+Inf")] == [1, 2, 2, 3, 3, 4]
    rest = {name: value for (name, labels), value in family.samples.items() if labels == {("service", "orders")}}
    assert rest == {"d_seconds_sum": pytest.approx(60.311), "d_seconds_count": 4}
