"""Which records concern a service, and which of them cannot be read."""

import pytest

from shop_stack.eventlog.arrivals import Reader
from shop_stack.eventlog.interface import StoredRecord
from shop_stack.events import CATALOG, ProductAdded

pytestmark = pytest.mark.pure

GOOD = (
    b'{"specversion":"1.0","id":"e1","source":"/catalog","type":"shop.product.added.v1","subject":"p1",'
    b'"time":"2026-11-22T10:00:00Z","sequence":1,"data":{"product_id":"p1","name":"Tea","category":"drinks",'
    b'"list_price_minor":250}}'
)


def record(value: bytes, key: str | None = "p1") -> StoredRecord:
    """A record of the catalog's topic."""
    return StoredRecord(CATALOG.name, 3, 17, key, value, {}, 0)


@pytest.fixture
def reader() -> Reader:
    return Reader([ProductAdded.type])


def test_a_subscribed_event_is_decoded(reader: Reader) -> None:
    arrival = reader.read(record(GOOD))
    assert arrival is not None
    assert arrival.envelope is not None
    assert isinstance(arrival.envelope.data, ProductAdded)
    assert (arrival.aggregate, arrival.partition, arrival.event_id) == ((CATALOG.name, "p1"), (CATALOG.name, 3), "e1")


@pytest.mark.parametrize("kind", [b"shop.product.price-changed.v1", b"shop.unheard-of.v7"])
def test_other_events_are_no_concern(reader: Reader, kind: bytes) -> None:
    assert reader.read(record(GOOD.replace(b"shop.product.added.v1", kind))) is None


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (b"{", "not a CloudEvent"),
        (b"\xff\xfe", "not a CloudEvent"),
        (b"[]", "not a CloudEvent"),
        (b"{}", "not a CloudEvent"),
        (GOOD.replace(b".v1", b".v2"), "another version"),
        (GOOD.replace(b"250", b'"250"'), "events.py"),
    ],
)
def test_what_cannot_be_read_says_why(reader: Reader, value: bytes, word: str) -> None:
    arrival = reader.read(record(value))
    assert arrival is not None
    assert arrival.envelope is None
    assert word in str(arrival.error)
    assert arrival.event_id == f"{CATALOG.name}/3/17"


def test_a_record_without_key_stands_alone(reader: Reader) -> None:
    arrival = reader.read(record(b"{", key=None))
    assert arrival is not None
    assert arrival.aggregate == (CATALOG.name, "@3/17")
