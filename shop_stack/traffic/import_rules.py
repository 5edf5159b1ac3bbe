"""Why a line of past orders is not imported, what it is worth, and what a product of such a file is."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from zlib import crc32

import numpy as np

from shop_stack.money import minor_units

Numbers = np.ndarray[Any, np.dtype[np.int64]]
MILLION = 1_000_000
IMPORTED = ""
# In this order: a line has the first reason that fits.
REASONS = (
    "cancellation",  # the invoice begins with C
    "bad_debt_adjustment",  # the invoice begins with A, or the code is B
    "negative_price",
    "zero_price",  # gifts, stock counts, damage
    "postage",
    "manual_entry",
    "discount",
    "sample",
    "fee_or_donation",
    "adjustment",
    "test",
    "quantity_not_positive",  # a return that no cancellation names
    "below_minor_unit",  # a price that rounds to nothing
)
# Codes that no product has, by the reason that a line with one is counted under (upper case).
SERVICE_CODES = {
    "POST": "postage", "DOT": "postage", "C2": "postage", "C3": "postage",
    "M": "manual_entry", "D": "discount", "S": "sample", "B": "bad_debt_adjustment",
    "BANK CHARGES": "fee_or_donation", "AMAZONFEE": "fee_or_donation", "CRUK": "fee_or_donation",
    "ADJUST": "adjustment", "ADJUST2": "adjustment", "TEST001": "test", "TEST002": "test",
}  # fmt: skip
_MAX_NAME = 200
_ID_SIGNS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:-")
_SMALLEST_CATEGORY = 10


def reason_of_invoice(invoice: str) -> str:
    """`cancellation`, `bad_debt_adjustment` or IMPORTED, by the letter before the invoice's number."""
    if invoice[1:2].isdigit():
        return {"C": "cancellation", "A": "bad_debt_adjustment"}.get(invoice[0].upper(), IMPORTED)
    return IMPORTED


def reason_of_code(code: str) -> str:
    """Why lines of this stock code are no product's, or IMPORTED."""
    return SERVICE_CODES.get(code.upper(), IMPORTED)


def reason_numbers(reasons: Iterable[str]) -> Numbers:
    """Reasons by name as indices into REASONS, -1 for IMPORTED."""
    index = {name: number for number, name in enumerate(REASONS)} | {IMPORTED: -1}
    return np.array([index[name] for name in reasons], dtype=np.int64)


def reasons_of_lines(
    by_invoice: Numbers, by_code: Numbers, quantity: Numbers, price_millionths: Numbers, per_unit: int
) -> Numbers:
    """For each line the index of its reason in REASONS, -1 for an imported one.

    `by_invoice` and `by_code` are the reasons that its invoice and code give; `per_unit` minor units make one unit.
    """
    negative, zero, returned, tiny = reason_numbers(
        ("negative_price", "zero_price", "quantity_not_positive", "below_minor_unit")
    )
    never = np.int64(len(REASONS))
    price = np.select([price_millionths < 0, price_millionths == 0], [negative, zero], default=never)
    worthless = to_minor(price_millionths, per_unit) == 0
    rest = np.select([quantity <= 0, worthless], [returned, tiny], default=never)
    given = [np.where(numbers < 0, never, numbers) for numbers in (by_invoice, by_code)]
    first: Numbers = np.minimum.reduce([*given, price, rest])
    return np.where(first == never, np.int64(-1), first)


def to_minor(millionths: Numbers, per_unit: int) -> Numbers:
    """Amounts in millionths as minor units, rounded half-even; the same as money.minor_units of each."""
    step = MILLION // per_unit
    down = millionths // step
    twice = 2 * (millionths - down * step)
    rounded: Numbers = down + ((twice > step) | ((twice == step) & (down % 2 == 1)))
    return rounded


def minor_per_unit(currency: str) -> int:
    """How many minor units make one unit of a currency."""
    return minor_units(Decimal(1), currency)


def product_id(code: str) -> str:
    """A stock code as a product's id: upper case, other signs replaced and told apart by a checksum."""
    upper = code.strip().upper()
    clean = "".join(sign if sign in _ID_SIGNS else "-" for sign in upper)[:50]
    return clean if clean == upper else f"{clean}-{crc32(upper.encode()):08x}"


def best(counts: Counter[tuple[int, Any]]) -> dict[int, Any]:
    """Of (owner, value) pairs the value met most often by each owner; of equals the smallest."""
    chosen: dict[int, tuple[int, Any]] = {}
    for (owner, value), times in counts.items():
        held = chosen.get(owner)
        if held is None or (-times, value) < (-held[0], held[1]):
            chosen[owner] = (times, value)
    return {owner: value for owner, (_, value) in chosen.items()}


def product_name(description: str) -> str:
    """A description as a name: printable, single spaces, at most 200 signs."""
    return " ".join("".join(c if c.isprintable() else " " for c in description).split())[:_MAX_NAME]


def categories(names: Iterable[str]) -> dict[str, str]:
    """A category by name: its last word in the singular when ten names share it, else `other`.

    Files of invoices name no category; in English names the last word says what the thing is.
    """
    heads = {name: _head(name) for name in names}
    shared = Counter(heads.values())
    return {name: head if head and shared[head] >= _SMALLEST_CATEGORY else "other" for name, head in heads.items()}


def _head(name: str) -> str:
    word = next((w for w in reversed(name.lower().split()) if w.isalpha() and len(w) > 2), "")
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
