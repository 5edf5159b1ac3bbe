"""Where answers lead: each declared lead is a link of the served description, unless its target is served elsewhere."""

from typing import Any

import pytest
from litestar import Litestar, get, post
from litestar.openapi import OpenAPIConfig
from litestar.testing import TestClient

from shop_stack.described import DescribedJson
from shop_stack.leads import Lead, leads_of, leads_to, linked

pytestmark = pytest.mark.pure
_TO_THE_ORDER = Lead("get", "/orders/{order_id}", {"path.order_id": "$response.body#/order_id"})
_TO_THE_PARCEL = Lead("get", "/shipments/{order_id}", {"path.order_id": "$response.body#/order_id"})
_ONCE_MORE = Lead("post", "/orders", body={"cart_id": "$request.body#/cart_id"})


@post("/orders", opt=leads_to(_TO_THE_ORDER, _TO_THE_PARCEL, _ONCE_MORE), sync_to_thread=False)
def order() -> dict[str, str]:
    return {"order_id": "o1"}


@get("/orders/{order_id:str}", sync_to_thread=False)
def show(order_id: str) -> dict[str, str]:
    return {"order_id": order_id}


APP = Litestar(
    [order, show],
    openapi_config=OpenAPIConfig(title="t", version="1", render_plugins=[DescribedJson(path="/openapi.json")]),
)


def test_a_good_answer_carries_its_links_and_an_error_none() -> None:
    with TestClient(APP) as client:
        paths: dict[str, Any] = client.get("/schema/openapi.json").json()["paths"]
    responses = paths["/orders"]["post"]["responses"]
    shown, ordered = paths["/orders/{order_id}"]["get"]["operationId"], paths["/orders"]["post"]["operationId"]
    assert responses["201"]["links"] == {
        shown: {"operationId": shown, "parameters": {"path.order_id": "$response.body#/order_id"}},
        ordered: {"operationId": ordered, "requestBody": {"cart_id": "$request.body#/cart_id"}},
    }
    assert "links" not in responses["default"]
    assert not any("links" in response for response in paths["/orders/{order_id}"]["get"]["responses"].values())


def test_a_lead_to_what_is_served_elsewhere_is_left_out() -> None:
    leads = leads_of(APP)
    assert leads["/orders", "post"] == (_TO_THE_ORDER, _TO_THE_PARCEL, _ONCE_MORE)
    alone = {"/orders": {"post": {"operationId": "order", "responses": {"201": {}, "default": {}}}}}
    assert list(linked(alone, leads)["/orders"]["post"]["responses"]["201"]["links"]) == ["order"]
    assert linked(alone, {("/orders", "post"): (_TO_THE_PARCEL,)}) == alone
