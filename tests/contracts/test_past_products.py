"""The made-up catalog is put in as soon as the catalog is there: in a start of everything it may be the last."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from shop_stack.errors import NotRunning
from shop_stack.settings import Endpoints, Home
from shop_stack.traffic import history

pytestmark = pytest.mark.embedded


class Gateway(BaseHTTPRequestHandler):
    """Answers as told, and notes the keys."""

    answers: list[int]
    keys: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.keys.append(self.headers["idempotency-key"])
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose gateway is Gateway."""
    Gateway.answers, Gateway.keys = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        home = Home(tmp_path)
        addresses = dict.fromkeys(Endpoints.__struct_fields__, f"http://127.0.0.1:{server.server_port}")
        home.endpoints.write_text(json.dumps(addresses))
        home.token("operator").write_text("token")
        yield home
        server.shutdown()


def test_a_catalog_that_is_still_being_started_is_asked_again_under_the_same_key(home: Home) -> None:
    Gateway.answers = [503, 502, 201]
    history.add_products(home, [{"product_id": "P1"}])
    assert len(Gateway.keys) == 3
    assert len(set(Gateway.keys)) == 1


@pytest.mark.parametrize(("status", "asked"), [(422, 1), (503, 2)])
def test_one_that_refuses_or_stays_away_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, status: int, asked: int
) -> None:
    monkeypatch.setattr(history, "_CATALOG_S", 0.4)
    Gateway.answers = [status]
    with pytest.raises(NotRunning, match=str(status)):
        history.add_products(home, [{"product_id": "P1"}])
    assert len(Gateway.keys) == asked
