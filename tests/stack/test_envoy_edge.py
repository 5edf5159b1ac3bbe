"""The edge, with the real Envoy: who comes in, as whom, how often, and with which paths."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shop_stack.mesh.policy import policy_of
from shop_stack.stack import Limits, read_stack
from tests import needs
from tests.stack.gateway_bench import Gateway, Upstream, gateway, until

pytestmark = pytest.mark.real
LIMITS = Limits(requests_per_minute_per_subject=60, requests_per_minute_per_address=1200, body_bytes=5000)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream("all").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gateway]:
    needs.envoy()
    policy = replace(policy_of(read_stack()), limits=LIMITS)
    floors = {"operations": upstream.port, "analytics": upstream.port}
    with gateway(tmp_path_factory.mktemp("edge"), policy, floors) as running:
        for service in policy.services:
            running.serve(service, upstream.port)
        yield running


def test_a_public_route_needs_no_token(edge: Gateway) -> None:
    answer = edge.get("/v1/products?q=lamp")
    assert answer.status_code == 200
    assert answer.json()["path"] == "/v1/products?q=lamp"


@pytest.mark.parametrize(
    ("path", "issuer", "status"),
    [
        ("/v1/orders/o-1", None, 401),
        ("/v1/orders/o-1", "operators", 401),
        ("/v1/orders/o-1", "shoppers", 200),
        ("/v1/payments/o-1", "shoppers", 401),
        ("/v1/payments/o-1", "operators", 200),
        ("/ops/v1/services", None, 401),
        ("/ops/v1/services", "shoppers", 401),
        ("/ops/v1/services", "operators", 200),
        ("/analytics/v1/questions", "shoppers", 401),
        ("/analytics/v1/questions", "operators", 200),
        ("/v1/addresses/c-1", None, 401),
        ("/v1/addresses/c-1", "shoppers", 401),
        ("/v1/addresses/c-1", "operators", 404),
        ("/livez", None, 401),
        ("/metrics", "shoppers", 401),
        ("/v1/productsandmore", None, 401),
    ],
)
def test_a_route_names_its_issuer_and_what_no_route_names_is_refused(
    edge: Gateway, path: str, issuer: str | None, status: int
) -> None:
    token = edge.token(issuer, "customer" if issuer == "shoppers" else "viewer", path) if issuer else None  # type: ignore[arg-type]
    answer = edge.get(path, token)
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_an_expired_and_a_tampered_token_are_refused(edge: Gateway) -> None:
    good = edge.token("shoppers", "guest")
    header, claims, signature = good.split(".")
    assert edge.get("/v1/orders/o-1", edge.token("shoppers", "guest", lifetime_s=-500)).status_code == 401
    assert edge.get("/v1/orders/o-1", f"{header}.{claims}.{signature[::-1]}").status_code == 401
    assert edge.get("/v1/orders/o-1", good).status_code == 200


def test_a_token_that_was_good_and_is_kept_is_refused_once_it_has_expired(edge: Gateway) -> None:
    ends_soon = edge.token("shoppers", "guest", lifetime_s=-643)  # it ended 57 s ago; clocks may differ by a minute
    assert [edge.get("/v1/orders/o-1", ends_soon).status_code for _ in range(2)] == [200, 200]
    until(lambda: edge.get("/v1/orders/o-1", ends_soon).status_code == 401)


def test_identity_comes_from_the_token_and_never_from_outside(edge: Gateway) -> None:
    forged = {"x_subject": "admin", "x_role": "admin"}
    public = edge.get("/v1/products", None, **forged).json()["headers"]
    assert "x-subject" not in public
    assert "x-role" not in public
    known = edge.get("/v1/orders/o-1", edge.token("shoppers", "customer", "c-7"), **forged).json()["headers"]
    assert (known["x-subject"], known["x-role"]) == ("c-7", "customer")
    assert "authorization" not in known, "shoppers' tokens end at the edge"
    operator = edge.token("operators", "viewer", "v-1")
    assert edge.get("/ops/v1/services", operator).json()["headers"]["authorization"] == f"Bearer {operator}"


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("manager", 403), ("operator", 200), ("admin", 200)])
def test_acting_on_a_service_needs_the_operators_role(edge: Gateway, role: str, status: int) -> None:
    token = edge.token("operators", role, role)
    assert edge.ask("POST", "/v1/receipts", token, body=b"{}").status_code == status
    assert edge.get("/v1/shipments/o-1", token).status_code == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("//v1/orders/o-1", b"401"),
        ("/v1/products/../orders/o-1", b"401"),
        ("/v1/%6frders/o-1", b"401"),
        ("/v1/products/%2e%2e/orders/o-1", b"401"),
        ("/v1/products%2f..%2forders", b"400"),
        ("/v1/products%5c..%5corders", b"400"),
        ("/V1/ORDERS/o-1", b"401"),
        ("/OPS/v1/services", b"401"),
        ("/%6fps/v1/services", b"401"),
        ("//v1//products", b"200"),
    ],
)
def test_no_spelling_of_a_path_passes_the_token_check(edge: Gateway, target: str, status: bytes) -> None:
    line = edge.raw(f"GET {target} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
    assert status in line


def test_headers_with_underscores_are_refused(edge: Gateway) -> None:
    line = edge.raw(b"GET /v1/products HTTP/1.1\r\nHost: shop\r\nx_subject: admin\r\nConnection: close\r\n\r\n")
    assert b"400" in line


def test_a_known_path_with_a_wrong_method_and_a_large_body_say_so(edge: Gateway) -> None:
    assert edge.ask("DELETE", "/v1/products").status_code == 405
    token = edge.token("shoppers", "guest", "big")
    assert edge.ask("POST", "/v1/orders", token, body=b"x" * 4000).json()["bytes"] == 4000
    assert edge.ask("POST", "/v1/orders", token, body=b"x" * 6000).status_code == 413


def test_each_subject_has_its_own_limit(edge: Gateway) -> None:
    greedy, modest = edge.token("shoppers", "guest", "greedy"), edge.token("shoppers", "guest", "modest")
    answers = [edge.get("/v1/orders/o-1", greedy) for _ in range(80)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 10 <= len(refused) <= 20
    assert refused[0].headers["retry-after"] == "1"
    assert edge.get("/v1/orders/o-1", modest).status_code == 200


def test_every_request_carries_a_trace_and_a_given_one_goes_on(edge: Gateway) -> None:
    fresh = edge.get("/v1/products").json()["headers"]["traceparent"]
    assert fresh.startswith("00-")
    assert len(fresh) == 55
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert (
        edge.get("/v1/products", None, traceparent=given).json()["headers"]["traceparent"].split("-")[1] == given[3:35]
    )


def test_the_access_log_is_json_without_query_strings(edge: Gateway) -> None:
    edge.get("/v1/products?q=secretword")
    edge.get("/v1/orders/logged", edge.token("shoppers", "guest", "logged-subject"))

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in edge.files.access_log.read_text().splitlines()]

    until(lambda: any(line["path"] == "/v1/orders/logged" for line in lines()))
    line = next(line for line in lines() if line["path"] == "/v1/orders/logged")
    assert (line["status"], line["service"], line["subject"]) == (200, "orders", "logged-subject")
    assert "secretword" not in edge.files.access_log.read_text()


def test_the_access_log_is_reopened_after_it_was_moved_aside(edge: Gateway, tmp_path: Path) -> None:
    edge.get("/v1/products/before")
    until(lambda: "before" in edge.files.access_log.read_text())
    edge.files.access_log.rename(tmp_path / "aside")
    edge.admin.post("/reopen_logs")
    edge.get("/v1/products/after")
    until(lambda: edge.files.access_log.exists() and "after" in edge.files.access_log.read_text())
    assert "after" not in (tmp_path / "aside").read_text()


def test_the_admin_interface_is_a_private_socket(edge: Gateway) -> None:
    assert edge.files.admin_socket.stat().st_mode & 0o777 == 0o600
    assert edge.get("/stats").status_code == 401


def test_the_public_door_believes_no_forwarded_address_and_the_trial_door_one_hop(edge: Gateway) -> None:
    token = edge.token("operators", "viewer", "asks")

    def granted(door: str) -> str:
        answer = edge.get("/v1/products", None, door, x_forwarded_for="203.0.113.9")
        return str(answer.json()["headers"].get("x-envoy-external-address", "loopback"))

    assert granted("trial") == "203.0.113.9"
    assert granted("gateway") != "203.0.113.9"
    assert edge.get("/v1/orders/o-1", None, "trial").status_code == 401, "the trial door checks tokens too"
    assert edge.get("/ops/v1/services", token, "trial").status_code == 200
