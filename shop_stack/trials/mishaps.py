"""Faults that strike at a time: poison on the log, old records again, jumping clocks, killed and stalled replicas."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import msgspec

from shop_stack.eventlog.interface import Record
from shop_stack.trials.plan import Fault
from shop_stack.trials.shop import Shop

_STRANGER = "/stranger"


def plan_mishaps(shop: Shop) -> None:
    """Let the plan's timed faults come at their times."""
    for fault in shop.plan.faults:
        if fault.site == "time":
            shop.world.after(fault.at_s, partial(_MISHAPS[fault.what], shop, fault))


def _poison(shop: Shop, fault: Fault) -> None:
    """A record that no consumer of the actor can read, under a stranger's key, an order's, or none."""
    topic = shop.world.chance("poison").choice(shop.topics[fault.actor])
    kinds = [contract.type for contract in shop.cards[fault.actor].subscriptions if contract.topic.name == topic]
    kind = int(fault.amount)
    orders = sorted(shop.world.names)
    key = "stranger" if kind % 2 == 0 or not orders else shop.world.chance("poison").choice(orders)
    values = (b"\x00\xff not JSON", _strange(kinds[0].replace(".v1", ".v9"), key), _strange(kinds[0], key))
    shop.world.strike(fault, f"a record of {topic} under {shop.world.named(key)} is poison")
    shop.log.append(topic, [Record(key, values[kind // 2 % 3])])


def _strange(kind: str, key: str) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"strange-{kind}-{key}",
            "source": _STRANGER,
            "type": kind,
            "subject": key,
            "time": "2026-11-02T09:00:00Z",
            "data": {"order_id": 7},
        }
    )


def _echo(shop: Shop, fault: Fault) -> None:
    """A sender that stood still for long sends again what the log has."""
    topic = shop.world.chance("echo").choice(shop.topics[fault.actor])
    records = [r for n in range(shop.log.partitions(topic)) for r in shop.log.partition(topic, n).records]
    if records:
        record = shop.world.chance("echo").choice(records)
        shop.world.strike(fault, f"an old record of {shop.world.named(record.key)} is sent to {topic} again")
        shop.log.append(topic, [Record(record.key, record.value, record.headers)])


def _jump(shop: Shop, fault: Fault) -> None:
    shop.world.strike(fault, f"the clocks jump by {fault.amount:g} s")
    shop.world.jumped += timedelta(seconds=fault.amount)
    shop.dirty.update(dict.fromkeys(shop.stores))
    shop.plan_timers()


def _kill(shop: Shop, fault: Fault) -> None:
    for replica in shop.of(fault.actor)[:1]:
        shop.world.strike(fault, f"{replica.name} is killed")
        replica.down_s = fault.amount
        replica.die()


def _stall(shop: Shop, fault: Fault) -> None:
    for replica in shop.of(fault.actor)[:1]:
        shop.world.strike(fault, f"{replica.name} stands still for {fault.amount:g} s")
        replica.stall(fault.amount)


_MISHAPS: dict[str, Callable[[Shop, Fault], None]] = {
    "poison": _poison,
    "echo": _echo,
    "jump": _jump,
    "kill": _kill,
    "stall": _stall,
}
