"""What the running shop sells, read once through its own API, and the taste that shoppers have for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shop_stack.errors import NotRunning
from shop_stack.traffic.shop_client import RequestFailed, ShopClient, Shopper
from shop_stack.traffic.taste import Taste, basket_sizes, quantities

_PAGE = 100


@dataclass(frozen=True)
class Shelf:
    """Product ids, prices (minor units) and search words, with the taste over them."""

    product_ids: list[str]
    prices: list[int]
    words: list[str]
    taste: Taste

    def product(self, random: np.random.Generator) -> str:
        """One product by popularity."""
        return self.product_ids[int(self.taste.products(1, random)[0])]

    def basket(self, random: np.random.Generator) -> dict[str, int]:
        """A whole basket at once: product id to quantity."""
        size = int(basket_sizes(1, random)[0])
        first = self.taste.products(1, random)
        chosen = [int(first[0])] + [int(self.taste.companions(first, random)[0]) for _ in range(size - 1)]
        return {self.product_ids[i]: int(quantities(1, random)[0]) for i in chosen}

    def total_minor(self, basket: dict[str, int]) -> int:
        """What a basket costs at the prices read."""
        price = dict(zip(self.product_ids, self.prices, strict=True))
        return sum(price[product] * quantity for product, quantity in basket.items())


async def read_shelf(client: ShopClient, address: str) -> Shelf:
    """All products of the catalog. Raises NotRunning when it has none or does not answer."""
    items: list[dict[str, Any]] = []
    page = 1
    try:
        while True:
            answer = await client.get(Shopper(address), "/v1/products", page=page, size=_PAGE)
            items += answer["items"]
            if not answer["items"] or len(items) >= answer["total"]:
                break
            page += 1
    except RequestFailed as error:
        raise NotRunning(f"the catalog does not answer ({error}); look at: shopfloor status") from error
    if not items:
        raise NotRunning("the catalog is empty: import past orders (shopfloor import FILE) or start with --demo")
    words = sorted({word.lower() for item in items for word in str(item["name"]).split() if word.isalpha()})
    return Shelf(
        product_ids=[str(item["product_id"]) for item in items],
        prices=[int(item["list_price_minor"]) for item in items],
        words=words or ["gift"],
        taste=Taste([float(item.get("popularity", 1.0)) for item in items], [str(i["category"]) for i in items]),
    )
