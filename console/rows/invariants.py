"""What each invariant of the books means in plain words, and what to do when it is broken."""

from typing import Literal, NamedTuple

About = Literal["order", "event", "other"]


class Meaning(NamedTuple):
    """An invariant in a few words (at most 40 characters), in a sentence, and the next step when it is broken.

    `about`: what its counter-examples begin with; that of an event is often the order that the event belongs to.
    """

    short: str
    sentence: str
    remedy: str
    about: About = "other"


_OF_ORDERS: dict[str, Meaning] = {
    "orders_reach_an_end": Meaning(
        "every order comes to an end in time",
        "Every accepted order is completed, rejected or cancelled within its deadlines and a minute.",
        "o opens its journey: the last step shows who did not answer; then look at that service's lag and logs.",
        "order",
    ),
    "one_key_one_order": Meaning(
        "one key makes one order",
        "A checkout asked for several times under one idempotency key has made one order, and every order has its key.",
        "o opens its journey; a second order of one cart has to be cancelled with its customer.",
        "order",
    ),
    "captured_at_most_once": Meaning(
        "no order is charged twice",
        "The provider's own ledger has at most one capture of each order.",
        "Refund the second capture at the provider, and tell the customer; o opens the order's journey.",
        "order",
    ),
    "money_equals_orders": Meaning(
        "the provider took what each order costs",
        "Captured less refunded in the provider's ledger is the total of a confirmed order, and 0 of a failed one.",
        "Hold the order against the provider's ledger (amounts in minor units) and refund or claim the difference.",
        "order",
    ),
    "money_sums_agree": Meaning(
        "orders, payments and provider agree",
        "What ended orders cost, what payments captured and what the provider took are one sum.",
        "The invariants about single orders name the one that differs; if none does, payments' own figure is wrong.",
    ),
    "failures_leave_nothing": Meaning(
        "a failed order leaves nothing behind",
        "A rejected or cancelled order holds no stock, no money and no parcel; a refused request left nothing at all.",
        "o opens its journey: the compensation that is missing there (release, void, refund) has to be made up for.",
        "order",
    ),
    "completed_orders_are_whole": Meaning(
        "a completed order is sold and delivered",
        "Of each completed order the stock is sold and the parcel delivered.",
        "o opens its journey; ask inventory and shipping for what they know of it.",
        "order",
    ),
}
_OF_STOCK: dict[str, Meaning] = {
    "stock_never_negative": Meaning(
        "no stock was ever below zero",
        "No product had less than nothing available, reserved or sold, after any commit and now.",
        "Count the shelf, hold back that product, and look in inventory's log for the commit that did it.",
    ),
    "stock_adds_up": Meaning(
        "available + reserved + sold = received",
        "Of each product the units add up after every commit, and reservations hold what inventory says is reserved.",
        "Count the shelf; inventory's events of that product show where the units left the sum.",
    ),
}
_OF_EVENTS: dict[str, Meaning] = {
    "one_effect_per_event": Meaning(
        "an event takes effect once",
        "A handled event has had each of its effects once, however often it was delivered.",
        "o opens the order's journey, which shows the second effect; undo it by hand, and look at the service's inbox.",
        "event",
    ),
    "outboxes_equal_log": Meaning(
        "what services sent is in the log",
        "Every event that a service has sent is in the log, and every event in the log was sent by a service.",
        "The log lost records, or a store lost rows: shopfloor down and up sends again what the outboxes still have.",
        "event",
    ),
    "sequences_gapless": Meaning(
        "each aggregate's versions have no gap",
        "The versions of each order, reservation, payment, shipment and stock item begin at 1 and rise by 1.",
        "o opens the order's journey: a version that is missing there was lost, or never written.",
        "event",
    ),
    "one_event_per_version": Meaning(
        "one event for each version",
        "No version of anything was written twice under two event ids.",
        "Two writers were at work on one aggregate: o opens the order's journey, which shows both.",
        "event",
    ),
    "inboxes_equal_log": Meaning(
        "what is in the log was handled",
        "Every event that a consumer has passed is in its inbox or parked, and what it handled is in the log.",
        "o opens the order's journey: the step after that event is missing. A parked one is tried again with x, r.",
        "event",
    ),
}
_OF_THE_REST: dict[str, Meaning] = {
    "actions_recorded_once": Meaning(
        "each operator's action is on record once",
        "Every action has one audit record, of the one who asked for it, and no record tells of another.",
        "Somebody wrote in operations' store beside operations: find out who has access to the home folder.",
    ),
    "audit_chain_whole": Meaning(
        "nobody altered the record of actions",
        "Each audit record follows from the one before, and the heads published to the log are in the chain.",
        "A record was changed, deleted or swapped: keep a copy of the home folder, and find out who has access to it.",
    ),
    "replicas_as_asked": Meaning(
        "replicas are as last asked for",
        "The replicas that each group shall have are those of the last scaling that was done.",
        "s on the floor scales it to what it shall be; the actions (a) show what was asked for.",
    ),
    "analytics_equals_log": Meaning(
        "analytics has read each record once",
        "Analytics has taken every record of the log once, position by position, up to where it has read.",
        "The dashboard's figures are not to be trusted until analytics is rebuilt from the log.",
    ),
    "analytics_equals_orders": Meaning(
        "analytics knows each order as it is",
        "Analytics has every order with its total and its end, and knows no order that is not there.",
        "The dashboard's figures are off by these orders; o opens one's journey.",
        "order",
    ),
    "erased_people_absent": Meaning(
        "nothing is left of erased people",
        "No store keeps anything of a person who was erased.",
        "The erasure has to be made up for by law: ask an administrator to erase that person again.",
    ),
}
MEANINGS: dict[str, Meaning] = _OF_ORDERS | _OF_STOCK | _OF_EVENTS | _OF_THE_REST


def meaning_of(name: str) -> Meaning:
    """What an invariant means; one that the console does not know yet is called by its name."""
    words = name.replace("_", " ")
    return MEANINGS.get(name) or Meaning(words, f"{words}.", "Read its counter-examples; its code tells more.", "event")
