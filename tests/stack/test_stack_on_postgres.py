"""The whole stack with its stores on PostgreSQL: `shopfloor stores prepare`, `up`, orders, a scale-out, the audit."""

import os
import subprocess
from pathlib import Path

import pytest

from shop_stack.settings import Home
from shop_stack.traffic.catalog import made_up_products
from shop_stack.traffic.history import add_products
from tests import needs
from tests.postgres_server import PostgresServer
from tests.stack.command import SHOPFLOOR, shopfloor, shopfloor_json

pytestmark = pytest.mark.real


def test_the_stack_runs_on_postgresql(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.envoy()
    home, secrets = Home(tmp_path / "home"), tmp_path / "secrets"
    monkeypatch.setenv("SHOPFLOOR_STORES", postgres.url)
    monkeypatch.setenv("SHOPFLOOR_STORE_SECRETS", str(secrets))
    shopfloor("stores", "prepare", "--admin-url", postgres.admin_url, home=home)
    shopfloor("up", "--detach", "--port", "0", "--delivery-seconds", "0.2", home=home)
    try:
        add_products(home, made_up_products())
        shopfloor("scale", "orders", "2", "--reason", "a test", home=home)
        counted = shopfloor_json("load", "--rate", "10", "--for", "5s", "--orders-only", home=home)
        report = shopfloor_json("audit", home=home)
        assert report["ok"], report
        assert report["orders"] >= 40, counted
    finally:
        subprocess.run([SHOPFLOOR, "down", "--home", str(home.path)], check=False, env=os.environ, timeout=60)
    assert not list((home.path / "stores").glob("*.db")), "no store lies in the home"
    told = "".join(path.read_text() for path in home.replica_logs.rglob("*") if path.is_file())
    assert not [path.name for path in secrets.iterdir() if path.read_text() in told], "no password is in a log"
