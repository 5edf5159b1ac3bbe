"""An event's trail names places that are there, and the schemas in docs/events are those of the contracts."""

from datetime import UTC, datetime

import jsonschema
import msgspec
import pytest

from shop_stack.commands.trace_event import told
from shop_stack.envelope import Envelope, encode
from shop_stack.errors import SettingError
from shop_stack.events import CONTRACTS, Event, OrderPlaced
from shop_stack.schemas import schema_of, written
from shop_stack.trail import ROOT, Place, Trail, find_contract, trail_of
from tests.contracts.keep_payloads import example

pytestmark = pytest.mark.pure
AT = datetime(2026, 11, 22, tzinfo=UTC)
SCHEMAS = ROOT / "docs" / "events"


def places(trail: Trail) -> list[Place]:
    return [trail.contract, *trail.publishers, *trail.consumers, *trail.tables, *trail.questions, *trail.checks,
            *trail.screens]  # fmt: skip


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda c: c.type)
def test_every_event_is_declared_and_published_somewhere_that_is_there(contract: type[Event]) -> None:
    trail = trail_of(contract)
    assert trail.publishers
    for place in places(trail):
        assert place.line <= len((ROOT / place.path).read_text().splitlines()), place
    declared = (ROOT / trail.contract.path).read_text().splitlines()[trail.contract.line - 1]
    assert declared.startswith(f"class {contract.__name__}(Event")
    assert f"{contract.__name__}   {contract.type}" in next(iter(told(trail)))


def test_order_placed_is_followed_from_its_rule_to_both_screens() -> None:
    trail = trail_of(OrderPlaced)
    assert [(p.who, p.path) for p in trail.publishers] == [("orders", "shop_stack/services/orders/rules.py")]
    assert {"stg_orders_placed", "orders_placed", "sales_minutes"} <= {place.who for place in trail.tables}
    assert {"orders_by_minute", "revenue_by_day"} <= {place.who for place in trail.questions}
    assert {place.path.partition("/")[0] for place in trail.screens} == {"console", "dashboard"}
    assert "behaviour" not in {place.who for place in trail.tables}


def test_a_consumer_is_a_handler_or_who_asks_for_the_event_and_no_type_hint() -> None:
    consumers = {place.path for place in trail_of(find_contract("ForecastMade")).consumers}
    assert consumers == {"shop_stack/operations/projection.py"}
    assert [p.who for p in trail_of(find_contract("ReservationRequested")).consumers] == ["inventory"]


def test_a_name_is_found_in_any_case_and_a_wrong_one_gets_the_nearest() -> None:
    assert find_contract("orderplaced") is find_contract("shop.order.placed.v1") is OrderPlaced
    with pytest.raises(SettingError, match="did you mean: OrderPlaced"):
        find_contract("OrderPlace")
    with pytest.raises(SettingError, match="see shop_stack/events"):
        find_contract("[red]nothing like it[/]")


def test_the_kept_schemas_are_those_of_the_contracts() -> None:
    kept = {path.name: path.read_text() for path in SCHEMAS.glob("*.json")}
    wanted = {f"{contract.type}.schema.json": written(contract) for contract in CONTRACTS.values()}
    assert kept == wanted, "write them anew: shopfloor trace-event --schemas docs/events"


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda c: c.type)
def test_what_is_published_fits_its_schema(contract: type[Event]) -> None:
    event = Envelope(id="1", source="/s", subject="a", time=AT, data=example(contract), sequence=1)
    jsonschema.validate(msgspec.json.decode(encode(event)), schema_of(contract))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(msgspec.json.decode(encode(event)) | {"type": "another"}, schema_of(contract))
