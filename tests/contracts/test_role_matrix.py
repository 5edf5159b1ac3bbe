"""Every route of every API by every caller, held against the table; a route that is not in the table fails."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from analytics.desk import Desk
from analytics.questions_api import make_app
from shop_stack.access import Signer, Verifier, prepare_keys
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.context import Context
from shop_stack.hosting.http import application
from shop_stack.mesh.policy import policy_of
from shop_stack.operations.api import make_app as make_operations
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests.analytics_stand import ZONE
from tests.analytics_stand import Stand as AnalyticsStand
from tests.operations_stand import Stand, make_home, until
from tests.role_matrix import (
    ANALYTICS,
    CALLERS,
    EVERYONE,
    HOST_PAGES,
    OPERATIONS,
    SERVICES,
    SHOPPERS,
    Caller,
    Route,
    address,
)

pytestmark = pytest.mark.embedded
POLICY = policy_of(read_stack())


def routes_of(app: Litestar) -> set[Route]:
    """What an application answers, as (method, path)."""
    found: set[Route] = set()
    for route in app.routes:
        found |= {(method, route.path_format) for method in getattr(route, "methods", ()) if method != "OPTIONS"}
    return found


def token_of(home: Home, caller: Caller) -> dict[str, str]:
    """The header with which a caller comes."""
    if caller == "nobody":
        return {}
    issuer = "shoppers" if caller in SHOPPERS else "operators"
    token = Signer(home, issuer).issue(caller, caller, datetime.now(UTC), timedelta(hours=1))  # type: ignore[arg-type]
    return {"authorization": f"Bearer {token}"}


def admitted(method: str, path: str, caller: Caller) -> bool:
    """Whether the gateway's policy lets this request through to a service."""
    for route in POLICY.edge:
        if (path == route.prefix or path.startswith(route.prefix + "/")) and method in route.methods:
            if route.issuer is None:
                return True
            issuer = None if caller == "nobody" else "shoppers" if caller in SHOPPERS else "operators"
            return issuer == route.issuer and (route.roles is None or caller in route.roles)
    return False


def test_the_table_names_every_route_of_every_service(tmp_path: Path) -> None:
    settings, stack, mesh = Settings(home=Home(tmp_path)), read_stack(), None
    prepare_keys(settings.home, datetime.now(UTC))
    found: set[Route] = set()
    for spec in stack.services:
        context = Context(card_of(spec.name), settings, stack, mesh)  # type: ignore[arg-type]  # nobody is asked
        found |= routes_of(application([(spec.name, context.card.routes(context))], "one", threaded=False))
        context.store.close()
    assert found == set(SERVICES)


@pytest.mark.parametrize("route", SERVICES, ids=" ".join)
def test_the_gateway_lets_through_to_services_whom_the_table_names(route: Route) -> None:
    method, path = route
    assert {caller for caller in CALLERS if admitted(method, address(path), caller)} == SERVICES[route]


@pytest.mark.parametrize("path", [*HOST_PAGES, "/", "/v1", "/v2/orders", "/v1/anything", "/ops", "/v1/meandmore"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_what_no_route_names_reaches_no_service(method: str, path: str) -> None:
    services = {edge.cluster for edge in POLICY.edge} - {"operations", "analytics"}
    assert services == set(POLICY.services)
    reached = {route.cluster for route in POLICY.edge if path == route.prefix and method in route.methods}
    assert reached <= {"operations"}, "only the floors that check tokens themselves"


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(make_home(tmp_path_factory.mktemp("operations")))
    with stand.served():
        until(lambda: stand.engine.sampler.snapshot.observation and stand.engine.link.down_because is None)
        yield stand


def test_the_table_names_every_route_of_operations(operations: Stand) -> None:
    home = operations.settings.home
    assert routes_of(make_operations(operations.engine, Verifier(home, "operators"))) == set(OPERATIONS)


@pytest.mark.parametrize("route", OPERATIONS, ids=" ".join)
def test_operations_answers_whom_the_table_names(operations: Stand, route: Route) -> None:
    method, path = route
    let_in, acted = set(), list(operations.runtime.calls)
    for caller in CALLERS:
        headers = token_of(operations.settings.home, caller)
        with httpx.stream(method, operations.address + address(path), headers=headers, json={}) as answer:
            _judge(answer.status_code, caller, let_in)
    assert let_in == OPERATIONS[route]
    assert operations.runtime.calls == acted, "an empty request moves nothing"


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Any]]:
    folder = tmp_path_factory.mktemp("analytics")
    home, made = Home(folder), AnalyticsStand(folder)
    prepare_keys(home, datetime.now(UTC))
    desk = Desk(made.warehouse, lambda: made.ingest.watermark, ZONE)
    with TestClient(make_app(desk, lambda: Verifier(home, "operators"))) as client:
        yield home, client
    made.close()


def test_the_table_names_every_route_of_analytics(questions: tuple[Home, Any]) -> None:
    assert routes_of(questions[1].app) == set(ANALYTICS)


@pytest.mark.parametrize("route", ANALYTICS, ids=" ".join)
def test_analytics_answers_whom_the_table_names(questions: tuple[Home, Any], route: Route) -> None:
    (home, client), (method, path) = questions, route
    let_in: set[Caller] = set()
    for caller in CALLERS:
        answer = client.request(method, address(path), headers=token_of(home, caller))
        _judge(answer.status_code, caller, let_in)
    assert let_in == ANALYTICS[route]


def _judge(status: int, caller: Caller, let_in: set[Caller]) -> None:
    """A stranger is unknown (401), an operator of too low a role known and refused (403)."""
    if status not in (401, 403):
        let_in.add(caller)
    elif caller in EVERYONE - SHOPPERS - {"nobody"}:
        assert status == 403, "a good token is not asked for again"
    else:
        assert status == 401
