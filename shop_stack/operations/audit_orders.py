"""Which orders the invariants can have nothing against, by columns: only the others are looked at row by row.

An order is plain when every store says of it what its end demands. What is said here of plain orders follows from the
rules in `audit`, and a test holds both against each other over books that are broken in every way.
"""

from typing import NamedTuple

import msgspec
import numpy as np

from shop_stack.operations.audit import Excuses, Invariant
from shop_stack.operations.audit_columns import Keys, Numbers, Texts, column, first_occurrences, keys, missing

COMPLETED, FAILED, SOLD, RESERVED, HELD, DELIVERED, OTHER = b"cfsrhd-"
"""What a row's state comes to, as one letter each; HELD is money that is authorised and neither taken nor let go."""
_ABSENT = 0


class Marks(NamedTuple):
    """A store's rows of orders as columns: the order's id, its state's letter, an amount in minor units, and when.

    `amount`: an order's total, what a payment has captured, what the provider has captured less refunded; else 0.
    `at_us`: when an order was placed, microseconds since 1970; else 0.
    """

    ids: Texts
    letter: Numbers
    amount: Numbers
    at_us: Numbers


class Marked(NamedTuple):
    """What all stores have of orders."""

    orders: Marks
    reservations: Marks
    accounts: Marks
    payments: Marks
    shipments: Marks


class Plain(NamedTuple):
    """Plain orders: how many completed and how many failed, and what the completed ones cost, minor units."""

    completed: int = 0
    failed: int = 0
    amount: int = 0


class Screened(NamedTuple):
    """The plain orders in numbers; the ids of all other orders, and those that only other stores know (None: all)."""

    plain: Plain
    others: list[str] | None = None
    orphans: list[str] | None = None

    @property
    def looked_at(self) -> list[str] | None:
        """All that is not plain, in any store; None: everything."""
        return None if self.others is None or self.orphans is None else self.others + self.orphans


def screen(marked: Marked, excuses: Excuses) -> Screened:
    """Tell plain orders from all others; one that is explained is never plain. Of a store with two rows of one order
    nothing is plain.
    """
    orders = marked.orders
    wanted = keys(orders.ids)
    held, accounts, payments, parcels = (_beside(wanted, of) for of in marked[1:])
    nothing_taken = (accounts.amount == 0) & (payments.amount == 0)
    all_taken = (accounts.amount == orders.amount) & (payments.amount == orders.amount)
    completed = (orders.letter == COMPLETED) & all_taken & (held.letter == SOLD) & (parcels.letter == DELIVERED)
    kept = (held.letter == SOLD) | (held.letter == RESERVED) | (accounts.letter == HELD) | (parcels.letter != _ABSENT)
    failed = (orders.letter == FAILED) & nothing_taken & ~kept
    known = [wanted, *(keys(of.ids) for of in marked[1:])]
    single = np.full(len(wanted), all(bool(first_occurrences(some).all()) for some in known), dtype=np.bool_)
    usual = missing(wanted, keys(column(sorted(excuses.incidents | excuses.parked)))) & single
    plain = Plain(int((completed & usual).sum()), int((failed & usual).sum()),
                  int(orders.amount[completed & usual].sum()))  # fmt: skip
    others = ~((completed | failed) & usual)
    orphans = [of.ids[missing(keys(of.ids), wanted)] for of in (marked.reservations, marked.accounts, marked.shipments)]
    return Screened(plain, _texts(orders.ids[others]), sorted({text for some in orphans for text in _texts(some)}))


def keys_lead_to_orders(orders: Marks, promised: Texts, kept_since_us: int) -> bool:
    """Whether each of the promised orders is there and promised once, and each order is promised.

    Orders placed before `kept_since_us` (microseconds since 1970) need not be.
    """
    wanted, found = keys(orders.ids), keys(promised)
    if missing(found, wanted).any() or not first_occurrences(found).all():
        return False
    return not bool((missing(wanted, found) & (orders.at_us >= kept_since_us)).any())


def with_plain(found: Invariant, plain: int) -> Invariant:
    """An invariant over the others, with so many plain rows that were checked beside them."""
    return msgspec.structs.replace(found, rows_checked=found.rows_checked + plain)


class _Beside(NamedTuple):
    letter: Numbers
    amount: Numbers


def _beside(wanted: Keys, of: Marks) -> _Beside:
    """A store's letter and amount for each of these orders; 0 where it has none."""
    if len(of.ids) == 0:
        return _Beside(np.zeros(len(wanted), dtype=np.uint8), np.zeros(len(wanted), dtype=np.int64))
    there = keys(of.ids)
    order = np.argsort(there)
    at = np.searchsorted(there, wanted, sorter=order)
    at[at == len(there)] = 0
    at = order[at]
    found = there[at] == wanted
    return _Beside(np.where(found, of.letter[at], _ABSENT), np.where(found, of.amount[at], 0))


def _texts(ids: Texts) -> list[str]:
    return [bytes(one).decode(errors="replace") for one in ids.tolist()]
