"""An administrator finds, exports and erases a person over operations; each is in the audit chain, by id alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from shop_stack.access import Signer
from shop_stack.errors import AccessDenied, ActionRefused
from shop_stack.operations.client import OperationsClient
from tests.flows.canary import Canary, traces
from tests.flows.shop_in_process import Shop, running_shop, wait_until
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded
JANE = Canary()
SERVICES = ("customers", "orders", "storefront", "shipping", "payments")


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A shop on either engine."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with running_shop(tmp_path / "shop", SERVICES, postgres=server) as running:
        yield running


@pytest.fixture
def stand(tmp_path: Path, shop: Shop) -> Iterator[Stand]:
    stand = Stand(make_home(tmp_path / "operations"))
    group = stand.runtime.groups["customers"]
    replica = msgspec.structs.replace(group.replicas[0], port=shop.groups["customers"].port)
    stand.runtime.groups["customers"] = msgspec.structs.replace(group, replicas=[replica])
    with stand.served():
        until(lambda: stand.engine.sampler.snapshot.observation)
        yield stand


def test_a_person_is_found_exported_and_erased(shop: Shop, stand: Stand, tmp_path: Path) -> None:
    jane = shop.post("customers", "/v1/customers", JANE.registration, key="k").json()["customer_id"]
    with stand.client("admin") as admin:
        assert admin.find_person(JANE.email, "the person asked") == jane
        assert admin.export_person(jane, "the person asked")["profiles"][0]["address"] == JANE.address
        with pytest.raises(ActionRefused, match="second time"):
            admin.erase_person(jane, "an authority asked", confirm=False)
        admin.erase_person(jane, "an authority asked", confirm=True)
        wait_until(lambda: admin.erasure(jane).missing == ["analytics"], "answers of all services")
        assert admin.erasure(jane).asked_by == "admin"
        for nobody in ("nobody", "x" * 64):
            with pytest.raises(ActionRefused, match="the shop knows nothing"):
                admin.export_person(nobody, "the person asked")
        with pytest.raises(ActionRefused, match="nobody has an account"):
            admin.find_person(JANE.email, "the person asked")
    with closing(sqlite3.connect(stand.settings.home.operations_store)) as database:
        told = [row[0].split(" ", 1)[1] for row in database.execute("select did from audit order by number")]
    assert told[:3] == [
        "find-person -: the person asked",
        f"export-person {jane}: the person asked",
        f"erase-person {jane}: an authority asked",
    ]
    assert traces(tmp_path, JANE.needles()) == []


@pytest.mark.parametrize("role", ["viewer", "manager", "operator"])
def test_others_do_not(stand: Stand, role: str) -> None:
    token = Signer(stand.settings.home, "operators").issue(role, role, datetime.now(UTC), timedelta(minutes=5))
    with OperationsClient(stand.address, token) as client:
        with pytest.raises(AccessDenied, match="needs admin"):
            client.find_person(JANE.email, "the person asked")
        with pytest.raises(AccessDenied, match="needs admin"):
            client.export_person("jane", "the person asked")
        with pytest.raises(AccessDenied, match="needs admin"):
            client.erase_person("jane", "the person asked", confirm=True)
