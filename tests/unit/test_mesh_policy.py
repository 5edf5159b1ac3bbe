"""The gateway's policy follows from the stack's description, and its rendering keeps what the policy says."""

from pathlib import Path

import pytest

from shop_stack.mesh.clusters import Endpoint, assignment
from shop_stack.mesh.envoy import EnvoyFiles, bootstrap
from shop_stack.mesh.policy import ACTING_ROLES, SAFE_TO_REPEAT, UNSEEN_ONLY, MeshPolicy, policy_of
from shop_stack.settings import LOOPBACK, Home, Settings
from shop_stack.stack import Route, ServiceSpec, Stack, read_stack

pytestmark = pytest.mark.pure
PORTS = {"gateway": 1, "trial": 2, "mesh": 3, "operations": 4, "analytics": 5}
SETTINGS = Settings(home=Home(Path("/home")), bind="10.0.0.7", ports=PORTS)


@pytest.fixture
def policy() -> MeshPolicy:
    return policy_of(read_stack())


def listeners(policy: MeshPolicy) -> dict[str, dict[str, object]]:
    keys = {"shoppers": "{}", "operators": "{}"}
    document = bootstrap(policy, EnvoyFiles(Path("/home/mesh")), keys, SETTINGS)  # type: ignore[arg-type]
    return {listener["name"]: listener for listener in document["static_resources"]["listeners"]}


def test_writes_are_sent_again_only_when_no_service_has_seen_them(policy: MeshPolicy) -> None:
    for route in policy.edge:
        acting = set(route.methods) - {"GET", "HEAD"}
        assert route.retry.per_try_s is None or not acting
        if acting:
            assert route.retry == UNSEEN_ONLY
            assert "5xx" not in route.retry.conditions
    assert "5xx" in SAFE_TO_REPEAT.conditions


def test_only_acting_routes_of_operators_need_a_role(policy: MeshPolicy) -> None:
    needing = {(route.prefix, route.methods) for route in policy.edge if route.roles is not None}
    assert needing == {("/v1/products", ("POST", "PUT")), ("/v1/receipts", ("POST",))}
    assert ACTING_ROLES == ("operator", "admin")


def test_public_is_exactly_what_the_description_calls_public(policy: MeshPolicy) -> None:
    public = {(route.prefix, method) for route in policy.edge if route.issuer is None for method in route.methods}
    assert {prefix for prefix, _ in public} == {
        "/v1/sessions", "/v1/customers", "/v1/products", "/v1/stock", "/v1/recommendations",
    }  # fmt: skip
    assert ("/v1/products", "POST") not in public


def test_nobody_outside_plays_the_payment_provider(policy: MeshPolicy) -> None:
    assert not [route for route in policy.edge if "/v1/provider-callbacks".startswith(route.prefix)]


def test_only_the_event_stream_has_no_timeout(policy: MeshPolicy) -> None:
    assert [route.prefix for route in policy.edge if route.timeout_s is None] == ["/ops/v1/events"]


def test_a_longer_prefix_is_tried_first() -> None:
    deep = [Route("/v1/a", ["GET"], "public"), Route("/v1/a/b", ["GET"], "shopper")]
    stack = Stack(name="s", currency="GBP", time_zone="UTC", services=[ServiceSpec(name="x", purpose="", routes=deep)])
    assert [route.prefix for route in policy_of(stack).edge][:2] == ["/v1/a/b", "/v1/a"]


def test_only_the_edge_leaves_loopback(policy: MeshPolicy) -> None:
    at = {name: listener["address"]["socket_address"]["address"] for name, listener in listeners(policy).items()}  # type: ignore[index]
    assert at == {"edge": "10.0.0.7", "trial": "127.0.0.1", "mesh": "127.0.0.1"}


def test_an_assignment_marks_who_drains() -> None:
    given = [Endpoint((LOOPBACK, 5001)), Endpoint((LOOPBACK, 5002), draining=True)]
    endpoints = assignment("orders", given)["endpoints"][0]["lb_endpoints"]
    assert [endpoint["health_status"] for endpoint in endpoints] == ["HEALTHY", "DRAINING"]
