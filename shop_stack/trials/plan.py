"""What happens in a simulated schedule: who orders what, and which faults strike where, drawn from a seed."""

from random import Random

import msgspec

PRODUCTS = {"lamp": 3, "mug": 8, "tea": 1000, "vase": 1}
"""The products by id, with the units that the template's shelf holds."""
PRICES = {"lamp": 2999, "mug": 950, "tea": 420, "vase": 8900}
"""Minor units."""
SERVICES = ("orders", "inventory", "payments", "shipping", "recommendations")
FOLLOWED = ("orders", "inventory", "payments", "shipping")
"""The services with an outbox that says anything."""
FAULTS_UNTIL_S = 60.0


class OrderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One shopper's checkout; times are seconds since the schedule's start, `lines` units by product.

    `posts` copies of the request are sent; `declined` by the provider; called off `cancel_after_s` after placing.
    """

    number: int
    at_s: float
    lines: dict[str, int]
    posts: int = 1
    declined: bool = False
    cancel_after_s: float | None = None

    @property
    def cart_id(self) -> str:
        """Names the order's cart, and with it the order."""
        return f"cart-{self.number}"

    @property
    def total_minor(self) -> int:
        """What it costs."""
        return sum(PRICES[product] * units for product, units in self.lines.items())


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`what` strikes `actor` at the `nth` time that it comes by `site`, or at `at_s` where the site is `time`.

    `amount` is a number that the fault needs: seconds, attempts, or which of several.
    """

    site: str
    what: str
    actor: str
    nth: int = 0
    at_s: float = 0.0
    amount: float = 0.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole schedule. `seed` decides the delays too; `unhurried` leaves them out."""

    seed: int
    orders: tuple[OrderPlan, ...]
    faults: tuple[Fault, ...]
    replicas: dict[str, int]
    step_deadline_s: float
    reservation_s: float
    unhurried: bool = False


# Where a fault of each kind may strike: (site, what); its actors and amounts are drawn beside.
_CRASHES = ("commit", "committed", "append", "appended", "position", "positioned", "call", "called", "handle")
_SITES: dict[str, tuple[tuple[str, str], ...]] = {
    "crash": tuple((site, "crash") for site in _CRASHES),
    "lost ack": (("appended", "lost ack"), ("append", "half")),
    "log away": (("append", "away"), ("poll", "away"), ("position", "away")),
    "duplicate": (("append", "twice"),),
    "late": (("append", "late"),),
    "provider": (
        ("called", "lost answer"),
        ("called", "frozen"),
        ("call", "unheard"),
        ("call", "slow"),
        ("call", "late"),
        ("call", "told"),
    ),
    "busy store": (("write", "busy"),),
    "failing handler": (("handle", "fails"), ("handle", "fails and dies")),
    "rebalance": (("poll", "moved"),),
    "mesh": (("mesh", "fails"), ("answer", "lost")),
}
_CALLS, _PASSES = 20, 40
"""How often an actor comes by in a schedule, roughly: to the provider, and elsewhere."""
_TIMED = ("poison", "jump", "kill", "stall", "echo")
_AMOUNTS: dict[str, tuple[float, float]] = {
    "late": (0.05, 12.0),
    "slow": (0.1, 6.0),
    "frozen": (5.0, 20.0),
    "jump": (-3.0, 40.0),
    "stall": (0.5, 30.0),
    "poison": (0.0, 6.0),
    "fails": (1.0, 8.0),
    "fails and dies": (0.3, 3.0),
    "crash": (0.05, 25.0),
    "kill": (0.05, 25.0),
}


def draw(seed: int) -> Plan:
    """The schedule of a seed."""
    random = Random(seed)
    orders = tuple(_order(random, number) for number in range(1, random.randint(4, 7) + 1))
    faults: list[Fault] = []
    for kind in (*_SITES, *_TIMED):
        if random.random() < 0.4:
            faults += [_fault(random, kind) for _ in range(random.randint(1, 5))]
    if random.random() < 0.3:
        faults += _unheard_for_a_while(random)
    step_deadline_s, reservation_s = random.choice(((20.0, 120.0), (20.0, 15.0), (5.0, 30.0), (20.0, 4.0)))
    return Plan(
        seed=seed,
        orders=orders,
        faults=tuple(faults),
        replicas={service: 2 if random.random() < 0.25 else 1 for service in SERVICES},
        step_deadline_s=step_deadline_s,
        reservation_s=reservation_s,
    )


def _order(random: Random, number: int) -> OrderPlan:
    products = random.choices(list(PRODUCTS), weights=(2, 3, 6, 1), k=random.randint(1, 3))
    return OrderPlan(
        number=number,
        at_s=round(random.uniform(0.0, 20.0), 3),
        lines={product: random.randint(1, 3) for product in sorted(products)},
        posts=2 if random.random() < 0.2 else 1,
        declined=random.random() < 0.1,
        cancel_after_s=round(random.choice((0.1, 0.5, 2.0, 10.0)) * random.random(), 3)
        if random.random() < 0.25
        else None,
    )


def _unheard_for_a_while(random: Random) -> list[Fault]:
    """The provider acts, and many of its next answers are not heard: captures come late, and so do refunds."""
    first = random.randint(1, 12)
    return [
        Fault(site="called", what="lost answer", actor="payments", nth=nth)
        for nth in range(first, first + random.randint(2, 20))
        if random.random() < 0.6
    ]


def _fault(random: Random, kind: str) -> Fault:
    amount = round(random.uniform(*_AMOUNTS.get(kind, (0.0, 1.0))), 3)
    if kind in _TIMED:
        actor = random.choice(SERVICES)
        return Fault(site="time", what=kind, actor=actor, at_s=round(random.uniform(0, 30), 3), amount=amount)
    site, what = random.choice(_SITES[kind])
    amount = round(random.uniform(*_AMOUNTS.get(what, (0.0, 1.0))), 3)
    if site in ("call", "called"):
        actor = "payments"
    elif site in ("append", "appended"):
        actor = random.choice(FOLLOWED)
    else:
        actor = random.choice(SERVICES)
    most = _CALLS if actor == "payments" and site in ("call", "called") else _PASSES
    return Fault(site=site, what=what, actor=actor, nth=int(most ** random.random()), amount=amount)
