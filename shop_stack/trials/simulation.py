"""One schedule: the shop at work under planned faults, brought to rest, what is parked replayed, its books audited."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from shop_stack.eventlog.dead_letters import Choice, Replayer
from shop_stack.trials.bank import Bank
from shop_stack.trials.injection import injected
from shop_stack.trials.mishaps import plan_mishaps
from shop_stack.trials.oracle import Violation, violations
from shop_stack.trials.plan import FAULTS_UNTIL_S, SERVICES, Plan
from shop_stack.trials.shop import Shop
from shop_stack.trials.shoppers import Shopper
from shop_stack.trials.world import LONGEST_S, Told, World

OPERATOR_COMES_S = 180.0
_REPLAYS = 4
_ANY = Choice(quarantined=True)
_UNREADABLE = Choice(error="BadEvent", quarantined=True)
_MOST_UNREADABLE = 8


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a schedule: `ends` counts its orders by state and reason, `struck` the faults by kind."""

    seed: int
    violations: list[Violation]
    ends: dict[str, int]
    orders: int
    deliveries: int
    struck: dict[str, int]
    lasted_s: float
    story: list[Told]
    log: list[bytes]


def run(plan: Plan, telling: bool = False) -> Outcome:
    """Run one schedule to its end. `telling` keeps its story and what lies on the log."""
    world = World(plan, telling)
    shop = Shop(plan, world)
    declined = {order.cart_id for order in plan.orders if order.declined}
    bank = Bank(shop, lambda order_id: shop.carts.get(order_id) in declined)
    shoppers = [Shopper(shop, order) for order in plan.orders]
    with _silence(), injected(world.clock, world.chance("shop"), world.wait, bank.call):
        shop.start()
        plan_mishaps(shop)
        for shopper in shoppers:
            shopper.begin()
        _rest(shop, OPERATOR_COMES_S)
        world.faulty = False
        world.seconds = max(world.seconds, OPERATOR_COMES_S)
        _replay(shop)
        _finish(shop)
    found = violations(shop, bank, shoppers)
    bank.close()
    ends = shop.ends()
    return Outcome(
        seed=plan.seed,
        violations=found,
        ends=ends,
        orders=sum(ends.values()),
        deliveries=sum(replica.deliveries() for replica in shop.replicas),
        struck=dict(world.struck),
        lasted_s=world.seconds,
        story=world.story or [],
        log=shop.log.values() if telling else [],
    )


def _rest(shop: Shop, seconds: float = LONGEST_S) -> None:
    """Let all that is due happen, until nothing is. What is parked keeps its order asking, so there is a limit."""
    until = shop.world.seconds + seconds
    while shop.world.step(until):
        pass


def _finish(shop: Shop) -> None:
    """Read what nobody was woken for, send and mark what is left."""
    for _ in range(2):
        for replica in shop.replicas:
            replica.plan("deliver", 0.0)
            replica.plan("relay", 1.5)
        _rest(shop)


def _replay(shop: Shop) -> None:
    """As an operator would: try parked records again, in vain at first, then mended; give up what nobody can read."""
    for attempt in range(1, _REPLAYS + 1):
        for service in SERVICES:
            for replica in shop.of(service)[:1]:
                replica.act(partial(_replay_one, replica.work.replayer, attempt == _REPLAYS))
        _rest(shop, FAULTS_UNTIL_S)
        shop.failing.clear()


def _replay_one(replayer: Replayer, last: bool) -> None:
    if not replayer.letters(_ANY):
        return
    replayer.round(Choice(), 50, set())
    for _ in range(_MOST_UNREADABLE if last else 0):
        replayer.round(_UNREADABLE, 50, set(), discard=True)


@contextmanager
def _silence() -> Iterator[None]:
    """The shop's own log lines tell of faults that are meant."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
