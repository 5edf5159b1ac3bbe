"""The engines of a Compose project made ready: one that answers late is waited for."""

import threading
from pathlib import Path

import psycopg
import pytest

from shop_stack.eventlog.opening import open_log
from shop_stack.hosting.provisioning import ServerSilent
from shop_stack.runtime.compose.engines import insist
from tests import needs
from tests.operations_stand import until
from tests.postgres_server import running_postgres

pytestmark = pytest.mark.embedded


def test_a_server_that_answers_late_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    with running_postgres(needs.postgres()) as server:
        settings = server.settings(tmp_path / "home", [])
        server.kill()
        with pytest.raises(ServerSilent, match="it does not answer"):
            insist(settings, patience_s=0.0)
        caplog.clear()
        making = threading.Thread(target=insist, args=(settings, 60.0))
        making.start()
        until(lambda: "it is tried again" in caplog.text)
        server.start()
        making.join(60)
        assert not making.is_alive()
        with psycopg.connect(server.admin_url) as admin:
            made = admin.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'shop_%'").fetchone()
        assert made == (8,)
        with open_log(settings) as log:
            assert "shop.orders" in log.topics()
