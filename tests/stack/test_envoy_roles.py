"""The table of roles once more, asked of the real Envoy: every route of every service, by every caller."""

from collections.abc import Iterator

import pytest

from shop_stack.mesh.policy import policy_of
from shop_stack.stack import read_stack
from tests import needs
from tests.role_matrix import ANALYTICS, CALLERS, HOST_PAGES, OPERATIONS, SERVICES, SHOPPERS, VIEWERS, Caller, address
from tests.stack.gateway_bench import Gateway, Upstream, gateway

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    needs.envoy()
    policy = policy_of(read_stack())
    upstream = Upstream("all").start()
    floors = {"operations": upstream.port, "analytics": upstream.port}
    with gateway(tmp_path_factory.mktemp("roles"), policy, floors) as running:
        for service in policy.services:
            running.serve(service, upstream.port)
        yield running
    upstream.stop()


def status(edge: Gateway, method: str, path: str, caller: Caller) -> int:
    """What the gateway answers; 200 is the stand-in behind it. Each request has its own subject: no limit bites."""
    token = None
    if caller != "nobody":
        token = edge.token("shoppers" if caller in SHOPPERS else "operators", caller, f"{caller} {method} {path}")
    return edge.ask(method, address(path), token).status_code


@pytest.mark.parametrize("route", SERVICES, ids=" ".join)
def test_the_gateway_keeps_to_the_table(edge: Gateway, route: tuple[str, str]) -> None:
    answers = {caller: status(edge, *route, caller) for caller in CALLERS}
    assert {caller for caller, answer in answers.items() if answer == 200} == SERVICES[route]
    assert set(answers.values()) <= {200, 401, 403, 404}
    assert answers["nobody"] in (200, 401)


@pytest.mark.parametrize("path", HOST_PAGES)
def test_the_hosts_own_pages_stay_inside(edge: Gateway, path: str) -> None:
    assert {status(edge, method, path, caller) for method in ("GET", "POST") for caller in CALLERS} <= {401, 404}


@pytest.mark.parametrize("route", sorted({**OPERATIONS, **ANALYTICS}), ids=" ".join)
def test_no_shopper_and_no_stranger_reaches_the_floors_of_operators(edge: Gateway, route: tuple[str, str]) -> None:
    """They tell the roles apart themselves, route by route (tests/contracts/test_role_matrix.py)."""
    let_in = {caller for caller in CALLERS if status(edge, *route, caller) == 200}
    assert let_in <= VIEWERS
    assert let_in == (VIEWERS if route[1].startswith(("/ops/", "/analytics/")) else set())
