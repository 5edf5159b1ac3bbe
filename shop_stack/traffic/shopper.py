"""One shopper's session: a walk through the shop, over HTTP, with think times."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from shop_stack.traffic.shelf import Shelf
from shop_stack.traffic.shop_client import RequestFailed, ShopClient, Shopper
from shop_stack.traffic.walk import Step, Walk, think_s

MOST_LINES = 6


@dataclass
class PlacedOrder:
    """An order that the shop accepted, with the shopper who may ask for it."""

    order_id: str
    shopper: Shopper


@dataclass
class Session:
    """One walk. `think` scales think times; `skip_s` seconds of it already lie behind (a shop found in full swing)."""

    client: ShopClient
    shelf: Shelf
    walk: Walk
    random: np.random.Generator
    address: str
    known: Shopper | None = None
    think: float = 1.0
    skip_s: float = 0.0
    cart: dict[str, int] = field(default_factory=dict)
    cart_id: str = ""
    viewed: str = ""
    order: PlacedOrder | None = None
    shopper: Shopper | None = None

    async def run(self) -> PlacedOrder | None:
        """Walk to the end; the order placed, if any. A request that fails for good ends the session."""
        try:
            async for step, behind in self._moments():
                if behind:
                    self._fill_unseen(step)
                else:
                    await self._take(step)
        except RequestFailed:
            return None
        return self.order

    async def _moments(self) -> "AsyncIterator[tuple[Step, bool]]":
        behind = self.skip_s
        for step in self.walk.steps(self.random):
            yield step, behind > 0
            pause = think_s(step, self.random) * self.think
            waited = min(behind, pause)
            behind -= waited
            if pause > waited and step not in ("order", "leave"):
                await asyncio.sleep(pause - waited)

    def _fill_unseen(self, step: Step) -> None:
        if step == "cart" and not self.cart:
            self.cart = self.shelf.basket(self.random)

    async def _take(self, step: Step) -> None:
        if step == "leave":
            return
        if self.shopper is None:
            self.shopper = self.known or await self.client.guest(self.address)
        if self.cart and not self.cart_id:
            await self._send_cart(self.shopper)
        actions: dict[str, Callable[[Shopper], Awaitable[None]]] = {
            "landing": self._browse, "browse": self._browse, "search": self._search, "product": self._product,
            "cart": self._put_into_cart, "checkout": self._checkout, "order": self._order,
        }  # fmt: skip
        await actions[step](self.shopper)

    async def _browse(self, shopper: Shopper) -> None:
        pages = max(1, len(self.shelf.product_ids) // 20)
        page = 1 + int(self.random.integers(min(pages, 5)))
        await self.client.get(shopper, "/v1/products", page=page, size=20)

    async def _search(self, shopper: Shopper) -> None:
        word = self.shelf.words[int(self.random.integers(len(self.shelf.words)))]
        await self.client.get(shopper, "/v1/pages/search", q=word)

    async def _product(self, shopper: Shopper) -> None:
        self.viewed = self.shelf.product(self.random)
        await self.client.get(shopper, f"/v1/pages/products/{self.viewed}")

    async def _put_into_cart(self, shopper: Shopper) -> None:
        if not self.cart:
            self.cart = self.shelf.basket(self.random)
        elif len(self.cart) < MOST_LINES:
            self.cart |= {self.viewed or self.shelf.product(self.random): 1}
        await self._send_cart(shopper)

    async def _send_cart(self, shopper: Shopper) -> None:
        self.cart_id = self.cart_id or str(uuid.uuid4())
        lines = [{"product_id": product, "quantity": quantity} for product, quantity in self.cart.items()]
        await self.client.put(shopper, f"/v1/carts/{self.cart_id}", {"lines": lines})

    async def _checkout(self, shopper: Shopper) -> None:
        await self.client.post(shopper, "/v1/checkouts", {"cart_id": self.cart_id})

    async def _order(self, shopper: Shopper) -> None:
        self.order = await place_order(self.client, self.shelf, shopper, self.cart_id, self.cart)


async def place_order(
    client: ShopClient, shelf: Shelf, shopper: Shopper, cart_id: str, cart: dict[str, int]
) -> PlacedOrder:
    """Send the order of a cart at the prices that the shelf shows. Raises RequestFailed."""
    body = {"cart_id": cart_id, "expected_total": shelf.total_minor(cart)}
    answer = await client.post(shopper, "/v1/orders", body)
    return PlacedOrder(answer["order_id"], shopper)


def an_address(random: np.random.Generator) -> str:
    """A made-up address of the private range 10.0.0.0/8 for the trial listener; no packet is sent to it."""
    return "10." + ".".join(str(int(part)) for part in random.integers(1, 255, 3))
