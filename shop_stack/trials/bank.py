"""The payment provider of a schedule: its real ledger in memory, behind a network that loses, delays and repeats."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from shop_stack.provider.behaviour import DECLINE_REASONS
from shop_stack.provider.ledger import KeyMisused, Ledger, Reply
from shop_stack.services.payments import handlers
from shop_stack.services.payments.provider import TIMEOUT_S, read_answer
from shop_stack.services.payments.rules import Answer, Call, Unclear
from shop_stack.settings import Place
from shop_stack.trials.plan import Fault
from shop_stack.trials.shop import Shop

_TIMED_OUT = Unclear("the provider did not answer: TimeoutError")


class Bank:
    """Answers in the provider's stead. `declines` says of an order's id whether its card is refused."""

    def __init__(self, shop: Shop, declines: Callable[[str], bool]) -> None:
        self._shop = shop
        self._world = shop.world
        self._declines = declines
        self.ledger = Ledger(Path(":memory:"))
        self._approved: dict[tuple[str, Call], set[str]] = {}

    def approvals(self) -> dict[tuple[str, Call], int]:
        """How often the ledger has approved a step of an order: calls under one key are one."""
        return {done: len(keys) for done, keys in self._approved.items()}

    def close(self) -> None:
        """Close the books."""
        self.ledger.close()

    def call(self, place: Place, step: Call, key: str, order_id: str, amount_minor: int) -> Answer:
        """See services.payments.provider.call; while this thread waits, others go on."""
        world = self._world
        actor = world.acting.name if world.acting else "payments"
        world.tell(actor, f"asks the provider to {step} {world.named(order_id)}")
        fault = world.fault("call", "payments")
        if fault is not None and fault.what == "crash":
            world.die(fault, "before it calls the provider")
        act = partial(self._act, step, key, order_id, amount_minor)
        answer = self._exchange(fault, act, order_id, step)
        world.tell(actor, f"hears {type(answer).__name__} to its {step} of {world.named(order_id)}")
        return answer

    def _exchange(self, fault: Fault | None, act: Callable[[], Reply | None], order_id: str, step: Call) -> Answer:
        world = self._world
        if fault is not None and fault.what == "unheard":
            world.strike(fault, "its call never reaches the provider")
            world.wait(TIMEOUT_S)
            return _TIMED_OUT
        if fault is not None and fault.what == "late":
            world.strike(fault, f"its call reaches the provider {fault.amount:g} s late")
            world.after(fault.amount, act)
            world.wait(TIMEOUT_S)
            return _TIMED_OUT
        world.wait(world.jitter("provider", 0.001, 0.05))
        reply = act()
        if fault is not None and fault.what == "told":
            world.strike(fault, "the provider tells the outcome twice of its own accord")
            for after_s in (0.005, 0.3):
                world.after(after_s, partial(self._tell, order_id, step))
        if fault is not None and fault.what == "slow":
            return self._slow(fault, reply)
        return self._answered(reply)

    def _slow(self, fault: Fault, reply: Reply | None) -> Answer:
        self._world.strike(fault, f"the provider acts at once and answers after {fault.amount:g} s")
        self._world.wait(min(fault.amount, TIMEOUT_S))
        return self._read(reply) if fault.amount < TIMEOUT_S else _TIMED_OUT

    def _answered(self, reply: Reply | None) -> Answer:
        world = self._world
        fault = world.fault("called", "payments")
        if fault is not None and fault.what == "crash":
            world.die(fault, "when the provider has acted, before the answer is kept")
        if fault is not None and fault.what == "frozen" and world.acting is not None:
            world.strike(fault, f"stands still for {fault.amount:g} s with the provider's answer in hand")
            world.acting.stall(fault.amount)
        elif fault is not None:
            world.strike(fault, "the provider acts, and its answer is lost")
            world.wait(TIMEOUT_S)
            return _TIMED_OUT
        world.wait(world.jitter("provider", 0.001, 0.05))
        return self._read(reply)

    def _read(self, reply: Reply | None) -> Answer:
        if reply is None:
            return Unclear("the provider answered 422")
        return read_answer(reply.status, reply.body)

    def _act(self, step: Call, key: str, order_id: str, amount_minor: int) -> Reply | None:
        try:
            reply = self.ledger.perform(step, key, order_id, amount_minor, self._reason)
        except KeyMisused:
            return None
        if reply.status == 200:
            self._approved.setdefault((order_id, step), set()).add(key)
        self._world.tell("provider", f"books {step} of {self._world.named(order_id)}: {reply.status}")
        return reply

    def _reason(self, order_id: str) -> str | None:
        return DECLINE_REASONS[0] if self._declines(order_id) else None

    def _tell(self, order_id: str, step: Call) -> None:
        for replica in self._shop.of("payments")[:1]:
            replica.act(partial(handlers.hear, replica.context, order_id, step), request=True)
