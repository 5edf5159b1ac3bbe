"""One simulated replica of a service: the parts that the host composes, driven turn by turn instead of by threads."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from shop_stack.eventlog.database import sends_itself
from shop_stack.eventlog.delivery import IDLE_POLL_S, failure_of
from shop_stack.eventlog.relay import SWEEP_EVERY_S
from shop_stack.hosting.context import Context
from shop_stack.hosting.group import ServiceAtWork
from shop_stack.hosting.service import Timer
from shop_stack.moments import micros
from shop_stack.trials.memory_log import MemoryConsumer
from shop_stack.trials.world import Crash

if TYPE_CHECKING:
    from shop_stack.trials.shop import Shop

T = TypeVar("T")

# When a timer of each service has something to do next: its earliest due time in the store (microseconds).
DUE: dict[str, dict[str, str]] = {
    "orders": {"deadlines": "SELECT min(deadline_us) FROM orders"},
    "inventory": {"expiry": "SELECT min(expires_us) FROM reservations"},
    "payments": {"provider-calls": "SELECT min(due_us) FROM payments"},
    "shipping": {
        "labels": "SELECT min(due_us) FROM shipments WHERE state='wanted'",
        "deliveries": "SELECT min(due_us) FROM shipments WHERE state='dispatched'",
    },
}
_UNSENT = "SELECT 1 FROM outbox INDEXED BY outbox_unpublished WHERE published IS NULL LIMIT 1"
_MOST_DOUBLINGS = 6


class Replica:
    """A process that may die at any point and comes back empty; what it has committed stays in store and log."""

    def __init__(self, shop: "Shop", service: str, name: str) -> None:
        self.shop = shop
        self.world = shop.world
        self.service = service
        self.name = name
        self.life = 0
        self.alive = False
        self.down_s = 1.0
        self.resumes_at = 0.0
        self.commits = 0
        self.away_s = 0.0
        self._delivered = 0
        self._planned: dict[str, float] = {}
        self._busy: dict[str, int] = {}
        self._fruitless: dict[str, int] = {}

    def start(self) -> None:
        """Come up: join the group, sweep the outbox, give every timer its first turn."""
        shop, self.alive = self.shop, True
        self.context = Context(
            shop.cards[self.service], shop.settings, shop.stack, shop.mesh, clock=self.world.now,
            store=shop.stores[self.service],
        )  # fmt: skip
        self.work = ServiceAtWork(self.context, shop.log, self.name)
        self.context.on_wake = self._wake
        self.consumer: MemoryConsumer | None = None
        due = DUE.get(self.service, {})
        self._timers = {timer.name: timer for timer in self.context.card.timers if timer.name in due}
        self._planned.clear()
        self._busy.clear()
        self._fruitless.clear()
        self.plan("deliver", 0.0)
        self.plan("relay", self.world.jitter("relay", 0.0, 0.05))
        for timer in self._timers:
            self.plan(timer, 0.0)

    def die(self) -> None:
        """What was in memory is gone; a new process comes after a while."""
        self._delivered = self.deliveries()
        self.life += 1
        self.alive = False
        if self.consumer is not None:
            self.consumer.close()
            self.consumer = None
        self.away_s += self.down_s
        self.world.after(self.down_s, self.start)
        self.world.tell(self.name, f"is down for {self.down_s:g} s")

    @property
    def answers(self) -> bool:
        """Whether it is alive and does not stand still."""
        return self.alive and self.resumes_at <= self.world.seconds

    def deliveries(self) -> int:
        """Events that were delivered to its handlers, or known as handled before, in all its lives."""
        delivery = self.work.delivery if self.alive else None
        progress = delivery.progress if delivery is not None else None
        return self._delivered + (sum(progress.handled.values()) + progress.repeated if progress else 0)

    def stall(self, seconds: float) -> None:
        """Stand still; the group gives its partitions away when that takes longer than a session."""
        self.resumes_at = self.world.seconds + seconds
        self.away_s += seconds
        if seconds > 6.0 and self.consumer is not None:
            self.consumer.lose_all()

    def plan(self, job: str, seconds: float) -> None:
        """Do this job in so many seconds, unless it is planned earlier."""
        self._plan_at(job, self.world.seconds + seconds)

    def _plan_at(self, job: str, at: float) -> None:
        if self._planned.get(job, at + 1.0) > at:
            self._planned[job] = at
            self.world.at(at, partial(self._when_due, job, self.life, at))

    def _when_due(self, job: str, life: int, at: float) -> None:
        if life != self.life or not self.alive or self._planned.get(job) != at:
            return
        del self._planned[job]
        if self.resumes_at > self.world.seconds:
            self.plan(job, self.resumes_at - self.world.seconds)
        elif job == "deliver":
            self.act(self._deliver)
        elif job == "relay":
            self.act(self._relay)
        else:
            self.act(partial(self._turn, self._timers[job]))

    def act(self, what: Callable[[], T], request: bool = False) -> T | None:
        """Run this as the replica; None when it died at it. Afterwards plan what has become due."""
        before, self.world.acting = self.world.acting, self
        life, token = self.life, sends_itself.set(not request)
        try:
            return what()
        except Crash as crash:
            if crash.life == self.life:
                self.die()
            return None
        finally:
            sends_itself.reset(token)
            self.world.acting = before
            if self.life == life:
                self._plan_relay()
            self.shop.plan_timers()

    # The subscription

    def _deliver(self) -> None:
        if self._busy.get("deliver"):
            return  # its turn waits for a moment, and looks again at its end
        life = self.life
        self._busy["deliver"] = 1
        try:
            self._deliver_turn()
        finally:
            if self.life == life:
                self._busy["deliver"] = 0

    def _deliver_turn(self) -> None:
        delivery = self.work.delivery
        assert delivery is not None
        if self.consumer is None:
            self.consumer = consumer = self.shop.log.subscribe(self.service, self.shop.topics[self.service])
            delivery.begin(consumer)
        consumer = self.consumer
        error = failure_of(lambda: delivery.turn(consumer))
        if error is not None:
            self.world.tell(self.name, f"starts its subscription again: {type(error).__name__}: {error}")
            consumer.close()
            self.consumer = None
            self.plan("deliver", self.world.jitter("again", 0.1, 1.0))
            return
        patience = delivery.patience_s()
        if patience < IDLE_POLL_S or delivery.progress.waiting:
            self.plan("deliver", patience)
        if (pending := consumer.pending_at()) is not None:
            self._plan_at("deliver", max(pending, self.world.seconds))

    def hear(self, at: float) -> None:
        """There will be something to read then."""
        if self.alive:
            self._plan_at("deliver", max(at, self.world.seconds) + self.world.jitter(self.name, 0.0, 0.03))

    # The relay

    def _relay(self) -> None:
        self.work.relay.round()
        if self.work.relay.patience_s() >= SWEEP_EVERY_S and self._has_unsent():
            self.plan("relay", SWEEP_EVERY_S)

    def _plan_relay(self) -> None:
        patience = self.work.relay.patience_s()
        if patience < SWEEP_EVERY_S:
            self.plan("relay", patience + self.world.jitter("relay", 0.0, 0.005))

    def _has_unsent(self) -> bool:
        with self.context.store.read() as session:
            return session.driver.execute(_UNSENT).fetchone() is not None

    # Timers

    def _wake(self, timer: str) -> None:
        self.plan(timer, self.world.jitter("wake", 0.0, 0.01))

    def plan_timers(self) -> None:
        """Give each timer its next turn when the store says that something is due, at the timer's own pace."""
        if not self.alive:
            return
        queries = DUE.get(self.service, {})
        with self.context.store.read() as session:
            found = {name: session.driver.execute(query).fetchone()[0] for name, query in queries.items()}
        now = micros(self.world.now())
        for name, due in found.items():
            if due is not None:
                self._plan_timer(self._timers[name], (due - now) / 1e6)

    def _plan_timer(self, timer: Timer, due_s: float) -> None:
        fruitless = self._fruitless.get(timer.name, 0)
        rest = timer.every_s * 2.0 ** min(fruitless - 1, _MOST_DOUBLINGS) if fruitless else 0.0
        self.plan(timer.name, max(due_s, rest, 0.0) + self.world.jitter("timer", 0.001, timer.every_s))

    def _turn(self, timer: Timer) -> None:
        name, life = timer.name, self.life
        if self._busy.get(name, 0) >= timer.workers:
            self.plan(name, 0.05)
            return
        self._busy[name] = self._busy.get(name, 0) + 1
        commits, more = self.commits, False

        def run() -> None:
            nonlocal more
            more = timer.run(self.context)

        error = failure_of(run)
        if self.life != life:
            return
        self._busy[name] -= 1
        self._fruitless[name] = 0 if self.commits > commits else self._fruitless.get(name, 0) + 1
        if error is not None:
            self.world.tell(self.name, f"fails at {name}: {type(error).__name__}: {error}")
            self.plan(name, self.world.jitter("again", 0.1, 1.0))
        elif more:
            self.plan(name, 0.001)
        self.shop.dirty[self.service] = None
