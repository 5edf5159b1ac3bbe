"""A made-up catalog of a few hundred products, the same for the same seed."""

from typing import Any

import numpy as np

from shop_stack.traffic.taste import zipf_weights

_KINDS: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {
    "kitchen": ((600, 6500), ("Mug", "Teapot", "Chopping Board", "Mixing Bowl", "Cake Tin", "Pepper Mill", "Jug")),
    "lighting": ((1500, 14000), ("Table Lamp", "Lantern", "Pendant", "Candle Holder", "String Lights")),
    "garden": ((400, 9000), ("Planter", "Watering Can", "Trowel", "Bird Feeder", "Seed Tray", "Garden Stool")),
    "stationery": ((200, 3200), ("Notebook", "Desk Tidy", "Fountain Pen", "Wrapping Paper", "Card Set", "Calendar")),
    "textiles": ((900, 12000), ("Throw", "Cushion", "Tea Towel", "Table Runner", "Apron", "Blanket")),
    "toys": ((500, 5500), ("Wooden Train", "Jigsaw", "Spinning Top", "Kite", "Building Blocks", "Marble Run")),
    "storage": ((700, 8000), ("Basket", "Storage Jar", "Wall Hook", "Shoe Rack", "Trinket Box")),
    "festive": ((250, 4500), ("Garland", "Bauble Set", "Advent House", "Wreath", "Star Ornament")),
}
_LOOKS = ("Speckled", "Blue", "Walnut", "Linen", "Enamel", "Copper", "Slate", "Striped", "Woodland", "Classic",
          "Small", "Large", "Vintage", "Nordic", "Painted")  # fmt: skip


def made_up_products(count: int = 320, seed: int = 11) -> list[dict[str, Any]]:
    """`count` products as POST /v1/products/batch takes them: prices in minor units, popularity by Zipf's law.

    The opening stock lasts for weeks at the demo's rate even for the most popular product.
    """
    random = np.random.default_rng(seed)
    names = [(kind, f"{look} {noun}") for kind, (_, nouns) in _KINDS.items() for noun in nouns for look in _LOOKS]
    chosen = [names[i] for i in random.permutation(len(names))[:count]]
    weights = zipf_weights(len(chosen))
    return [
        {
            "product_id": f"P{number + 1:04d}",
            "name": name,
            "category": kind,
            "list_price_minor": _price(kind, random),
            "popularity": round(float(weight), 6),
            "opening_stock": int(2000 + 60000 * weight),
        }
        for number, ((kind, name), weight) in enumerate(zip(chosen, weights, strict=True))
    ]


def _price(kind: str, random: np.random.Generator) -> int:
    low, high = _KINDS[kind][0]
    drawn = float(np.exp(random.uniform(np.log(low), np.log(high))))
    return max(99, round(drawn / 100) * 100 - 1)
