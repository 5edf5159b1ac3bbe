"""The shortest story of a failing schedule: faults, orders, copies and haste left out for as long as it still fails."""

from collections.abc import Callable, Iterator

import msgspec

from shop_stack.trials.oracle import Violation
from shop_stack.trials.plan import Plan
from shop_stack.trials.simulation import Outcome, run
from shop_stack.trials.world import Told

MOST_RUNS = 250


def shortest(plan: Plan, fails: Callable[[Plan], bool], most_runs: int = MOST_RUNS) -> Plan:
    """A plan with as little in it as `fails` lets go; greedy, so no part can be left out alone."""
    runs, smaller = 0, True
    while smaller:
        smaller = False
        for candidate in _candidates(plan):
            if runs >= most_runs:
                return plan
            runs += 1
            if fails(candidate):
                plan, smaller = candidate, True
                break
    return plan


def _candidates(plan: Plan) -> Iterator[Plan]:
    """Smaller plans, the much smaller ones first."""
    yield from _without_halves(plan)
    for at in range(len(plan.orders)):
        if len(plan.orders) > 1:
            yield msgspec.structs.replace(plan, orders=plan.orders[:at] + plan.orders[at + 1 :])
    for at in range(len(plan.faults)):
        yield msgspec.structs.replace(plan, faults=plan.faults[:at] + plan.faults[at + 1 :])
    yield from _calmer(plan)


def _without_halves(plan: Plan) -> Iterator[Plan]:
    middle = len(plan.faults) // 2
    if middle:
        yield msgspec.structs.replace(plan, faults=plan.faults[:middle])
        yield msgspec.structs.replace(plan, faults=plan.faults[middle:])


def _calmer(plan: Plan) -> Iterator[Plan]:
    single = dict.fromkeys(plan.replicas, 1)
    if plan.replicas != single:
        yield msgspec.structs.replace(plan, replicas=single)
    if not plan.unhurried:
        yield msgspec.structs.replace(plan, unhurried=True)
    for at, order in enumerate(plan.orders):
        plainer = msgspec.structs.replace(order, posts=1, cancel_after_s=None)
        if plainer != order:
            yield msgspec.structs.replace(plan, orders=(*plan.orders[:at], plainer, *plan.orders[at + 1 :]))


def story_of(plan: Plan, invariant: str) -> Outcome:
    """The schedule shrunk as long as this invariant is broken, and run again with its story kept."""

    def fails(candidate: Plan) -> bool:
        return any(violation.invariant == invariant for violation in run(candidate).violations)

    return run(shortest(plan, fails), telling=True)


def written(outcome: Outcome) -> str:
    """A story for a reader: when, who, what; faults are marked; what is broken at the end."""
    lines = [_line(told) for told in outcome.story]
    return "\n".join([f"the shortest story of seed {outcome.seed}:", *lines, *map(_broken, outcome.violations)])


def _line(told: Told) -> str:
    return f"  {told.at_s:9.3f} s  {'!' if told.fault else ' '} {told.actor:<18} {told.what}"


def _broken(violation: Violation) -> str:
    return f"  broken: {violation.invariant}: {violation.example}"
