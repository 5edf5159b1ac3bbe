"""The demo's stories: something happens to the running shop, for an operator to see, explain, act on and verify."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import msgspec

from shop_stack.access import read_token
from shop_stack.errors import NotRunning, SettingError
from shop_stack.hosting.drill import Drill, write_drill
from shop_stack.operations.client import OperationsClient
from shop_stack.settings import Home, read_endpoints
from shop_stack.stack import Provider, Stack
from shop_stack.traffic.arrivals import shape_at
from shop_stack.traffic.footprint import requests_per_session
from shop_stack.traffic.walk import CONVERSION

PEAK_REQUESTS_PER_S = 100.0
PEAK_DELAY_S = 0.1
SLOW_ORDERS_PER_S = 0.5  # with the requests that come of them every service keeps within what it can take
SLOW_ANSWER_S = 3.0
LOST_RATE = 0.5


def play(home: Home, stack: Stack, story: str) -> str:
    """Start a story (`peak`, `outage`, `slow-payments`, `lost-answers`) or end all (`reset`); says what was done.

    Raises SettingError for another name, NotRunning when no stack runs on `home`.
    """
    stories: dict[str, Callable[[Home, Stack], str]] = {
        "peak": _peak, "outage": _outage, "slow-payments": _slow_payments, "lost-answers": _lost_answers,
        "reset": _reset,
    }  # fmt: skip
    if story not in stories:
        raise SettingError(f"no story is called {story!r}; there are: {', '.join(stories)}")
    read_endpoints(home)
    return stories[story](home, stack)


def _peak(home: Home, stack: Stack) -> str:
    factor = PEAK_REQUESTS_PER_S / (_sessions_per_s(stack) * requests_per_session()["storefront"])
    write_drill(home, Drill(story="peak", shoppers=round(factor, 2), delays_s={"storefront": PEAK_DELAY_S}))
    return (
        f"{factor:.0f} times the shoppers are arriving, and pages have become heavier. Which service is slow? "
        f"Watch p95 in the console, scale what the objective says, and read the verdict. "
        f"End it with: shopfloor demo reset --home {home.path}"
    )


def _sessions_per_s(stack: Stack) -> float:
    return stack.traffic.sessions_per_s * shape_at(datetime.now(UTC), stack.zone)


def _outage(home: Home, stack: Stack) -> str:
    _scale(home, "inventory", 0, "demo story: a wrong hand took inventory away")
    return (
        f"A service has gone. Find out which, who did it and what shoppers notice; bring it back from the console. "
        f"Or end it with: shopfloor demo reset --home {home.path}"
    )


def _slow_payments(home: Home, stack: Stack) -> str:
    _behave(home, msgspec.structs.replace(stack.provider, answer_s=SLOW_ANSWER_S))
    write_drill(home, Drill(story="slow-payments", shoppers=_factor_for_orders(stack)))
    return (
        f"The payment provider now takes {SLOW_ANSWER_S:.0f} s an answer. Orders wait at payments; see what scaling "
        f"can and cannot do. End it with: shopfloor demo reset --home {home.path}"
    )


def _factor_for_orders(stack: Stack) -> float:
    """How many times the usual shoppers place SLOW_ORDERS_PER_S."""
    return round(SLOW_ORDERS_PER_S / (_sessions_per_s(stack) * CONVERSION), 2)


def _lost_answers(home: Home, stack: Stack) -> str:
    _behave(home, msgspec.structs.replace(stack.provider, lost_rate=LOST_RATE, callback_rate=1.0, duplicate_rate=0.5))
    write_drill(home, Drill(story="lost-answers", shoppers=_factor_for_orders(stack)))
    return (
        f"{LOST_RATE:.0%} of the payment provider's answers are lost after it has acted, and it tells every outcome "
        f"by a callback, half of them twice. Look into an order's journey: no money is taken twice. "
        f"End it with: shopfloor demo reset --home {home.path}"
    )


def _reset(home: Home, stack: Stack) -> str:
    write_drill(home, Drill())
    _behave(home, stack.provider)
    with _operations(home) as client:
        changed = [view.name for view in client.stack().services if view.desired != 1]
    for service in changed:
        _scale(home, service, 1, "demo story: reset")
    return "The shop is as the demo began: the usual shoppers, a provider that answers, one replica each."


def _scale(home: Home, service: str, replicas: int, reason: str) -> None:
    with _operations(home) as client:
        client.scale(service, replicas, reason, confirm_zero=replicas == 0)


def _operations(home: Home) -> OperationsClient:
    return OperationsClient(read_endpoints(home).operations, read_token(home))


def _behave(home: Home, behaviour: Provider) -> None:
    try:
        answer = httpx.post(
            f"{read_endpoints(home).provider}/behaviour",
            json={name: value for name, value in msgspec.to_builtins(behaviour).items() if name != "seed"},
            timeout=5,
            trust_env=False,
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise NotRunning(f"the payment provider does not answer ({error}); look at: shopfloor status") from error
