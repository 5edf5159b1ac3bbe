"""Commands in a container that the runtime's socket is not shared with: operations tells, Compose starts and stops."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shop_stack.__main__ import main
from shop_stack.settings import Endpoints
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded
WORDS = "Compose runs this stack; outside of this container type: "


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Operations, served, and its address in the home folder."""
    stand = Stand(make_home(tmp_path_factory.mktemp("container")))
    with stand.served():
        fields = dict.fromkeys(Endpoints.__struct_fields__, "http://127.0.0.1:9")
        stand.settings.home.endpoints.write_bytes(msgspec.json.encode(fields | {"operations": stand.address}))
        with stand.client() as client:
            until(lambda: client.stack().sampled_at is not None, 20)
        yield stand


@pytest.fixture(autouse=True)
def container(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set in every container of the stack."""
    monkeypatch.setenv("SHOPFLOOR_PLACES", f"gateway=gateway:8080,operations={stand.address.removeprefix('http://')}")
    monkeypatch.setenv("SHOPFLOOR_HOME", str(stand.settings.home.path))


def test_status_is_what_operations_knows(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is False, "the stand's analytics is down"
    orders = next(one for one in told["services"] if one["name"] == "orders")
    assert (orders["desired"], orders["ready"], orders["replicas"][0]["name"]) == (1, 1, "orders-1")
    analytics = next(part for part in told["parts"] if part["name"] == "analytics")
    assert (analytics["state"], analytics["pid"]) == ("crashed", None)
    assert "killed" in analytics["note"]
    assert main(["status"]) == 1
    shown = capsys.readouterr().out
    assert "orders-1 ready" in shown
    assert "not ready at http://127.0.0.1:9" in shown


def test_logs_come_from_operations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "orders", "--lines", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"orders-1 | [@click=app.quit]line {n}[/]" for n in (0, 1)]


def test_a_container_with_the_runtime_s_socket_asks_the_runtime(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "supervisor.sock").touch()
    monkeypatch.setenv("SHOPFLOOR_SOCKETS", str(tmp_path))
    assert main(["status"]) == 3
    assert "no supervisor answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "instead"),
    [("up", "docker compose up -d"), ("down", "docker compose down"), ("status --memory", "docker stats"),
     ("dashboard", "docker compose port dashboard 8501"), ("chaos --seed 1", "shopfloor chaos")],
)  # fmt: skip
def test_what_is_compose_s_is_left_to_it(
    stand: Stand, words: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name for path in stand.settings.home.path.iterdir()}
    assert main(words.split()) == 5
    assert capsys.readouterr().err.startswith(f"shopfloor: {WORDS}{instead}")
    assert {path.name for path in stand.settings.home.path.iterdir()} == before
