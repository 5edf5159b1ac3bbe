"""The audit over whole books on a PostgreSQL server: clean, and each hand that breaks a store is caught in the act."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from shop_stack.hosting.provisioning import prepare_stores
from shop_stack.operations.audit import Report
from shop_stack.operations.audit_home import audit_home
from shop_stack.settings import Home, Settings
from shop_stack.stack import read_stack
from tests import needs
from tests.audit_stand import Books
from tests.flows.broken_books import IN_STORES, Break, assert_noticed
from tests.postgres_server import PostgresServer, running_postgres
from tests.store_hands import hands_on

pytestmark = pytest.mark.embedded
ORDERS = 200
SERVICES = [spec.name for spec in read_stack().services]


@dataclass(frozen=True)
class Whole:
    """Books of orders that never ran: a home, and a database a service to copy."""

    server: PostgresServer
    settings: Settings

    def copied(self, folder: Path) -> Settings:
        """The settings of a copy to break, with databases of the services' own names."""
        shutil.copytree(self.settings.home.path, folder)
        with psycopg.connect(self.server.admin_url, autocommit=True) as admin:
            for name in SERVICES:
                admin.execute(f"DROP DATABASE IF EXISTS shop_{name} WITH (FORCE)".encode())
                admin.execute(f"CREATE DATABASE shop_{name} TEMPLATE whole_{name} OWNER shop_{name}".encode())
        prepare_stores(self.server.admin_url, self.server.secrets, SERVICES)
        return replace(self.settings, home=Home(folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with running_postgres(needs.postgres()) as server:
        folder = tmp_path_factory.mktemp("books")
        books = Books(folder, products=5, stores=server.settings(folder, SERVICES))
        books.fill(ORDERS)
        with psycopg.connect(server.admin_url, autocommit=True) as admin:
            for name in SERVICES:
                admin.execute(f"ALTER DATABASE shop_{name} RENAME TO whole_{name}".encode())
        yield Whole(server, books.settings)


@pytest.fixture
def settings(whole: Whole, tmp_path: Path) -> Settings:
    return whole.copied(tmp_path / "home")


def audited(settings: Settings) -> Report:
    return audit_home(settings, strict=True)


def test_whole_books_are_ok(settings: Settings) -> None:
    report = audited(settings)
    assert {one.name: one.counter_examples for one in report.invariants if one.status not in ("ok", "skipped")} == {}
    assert (report.ok, report.quiet, report.orders) == (True, True, ORDERS)


@pytest.mark.parametrize("broken", IN_STORES, ids=lambda broken: broken.__name__)
def test_a_broken_book_is_found_and_named(settings: Settings, broken: Break) -> None:
    assert_noticed(broken, hands_on(settings), lambda: audited(settings))
