"""Calls between services: over HTTP with a deadline and one retry, and within a process without a thread."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler

from shop_stack.errors import MeshError
from shop_stack.hosting.causes import current
from shop_stack.hosting.http import application, asgi
from shop_stack.hosting.service import Cause
from shop_stack.mesh.calls import HttpMesh
from shop_stack.mesh.direct import DirectMesh, run
from tests import toy_service
from tests.flows.shop_in_process import running_shop

pytestmark = pytest.mark.embedded
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"


@contextmanager
def server(answer: Callable[[socket.socket, int], None]) -> Iterator[HttpMesh]:
    """A mesh that leads to a server on which `answer(connection, number)` serves each connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def accept() -> None:
            number = 0
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection, number)
                number += 1

        threading.Thread(target=accept, daemon=True).start()
        yield HttpMesh(lambda service: listener.getsockname())


def test_a_call_carries_service_subject_and_trace() -> None:
    heard: list[bytes] = []

    def answer(connection: socket.socket, number: int) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(OK)

    token = current.set(Cause(causation="r-1", traceparent="00-ab-cd-01"))
    with server(answer) as mesh:
        assert mesh.get("catalog", "/v1/products/a", subject="jane").json() is True
    current.reset(token)
    head = heard[0].decode().lower()
    assert head.startswith("get /v1/products/a http/1.1\r\n")
    for line in ("host: catalog.mesh", "x-subject: jane", "x-request-id: r-1", "traceparent: 00-ab-cd-01"):
        assert f"\r\n{line}\r\n" in head


def test_a_connection_is_kept_and_a_stale_one_is_tried_again() -> None:
    connections: list[int] = []

    def answer(connection: socket.socket, number: int) -> None:
        connections.append(number)
        for _ in range(2):  # two answers, then it closes as an idle upstream does
            connection.recv(4096)
            connection.sendall(OK)

    with server(answer) as mesh:
        assert [mesh.get("catalog", "/").status for _ in range(5)] == [200] * 5
    assert connections == [0, 1, 2]


def test_a_passed_deadline_is_an_error_in_time() -> None:
    released = threading.Event()

    def answer(connection: socket.socket, number: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        released.wait(20)

    with server(answer) as mesh:
        began = time.monotonic()
        with pytest.raises(MeshError, match=r"catalog did not answer within 0\.1 s"):
            mesh.get("catalog", "/", deadline_s=0.1)
        assert time.monotonic() - began < 2
    released.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\ntrue",
    ],
)
def test_whatever_breaks_is_a_mesh_error(answer: bytes) -> None:
    def say(connection: socket.socket, number: int) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with server(say) as mesh, pytest.raises(MeshError, match="catalog"):
        mesh.get("catalog", "/", deadline_s=2)


def test_what_nobody_serves_is_a_mesh_error() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = listener.getsockname()
    with pytest.raises(MeshError, match="orders cannot be reached"):
        HttpMesh(lambda service: address).get("orders", "/")


def test_a_status_below_500_is_an_answer_and_bodies_may_be_chunked() -> None:
    def say(connection: socket.socket, number: int) -> None:
        connection.recv(4096)
        connection.sendall(b'HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n')
        connection.sendall(b'4\r\n":1}\r\n0\r\n\r\n')

    with server(say) as mesh:
        answer = mesh.get("catalog", "/")
    assert (answer.status, answer.json()) == (404, {"a": 1})


def echo() -> list[HTTPRouteHandler]:
    """A route that tells what it heard, and on which thread."""

    @get("/v1/echo/{word:str}", sync_to_thread=True)
    def say(word: str, request: Request[object, object, object], times: int = 1) -> dict[str, object]:
        return {"word": word * times, "thread": threading.get_ident(), "subject": request.headers.get("x-subject")}

    @get("/v1/fails", sync_to_thread=True)
    def fail() -> None:
        raise ValueError

    return [say, fail]


def test_a_service_of_this_process_answers_on_the_asking_thread() -> None:
    app = asgi(application([("echo", echo())], "echo", threaded=False))
    nowhere = HttpMesh(lambda service: ("127.0.0.1", 9))
    mesh = DirectMesh(frozenset({"echo"}), lambda: app, nowhere)
    answer = mesh.get("echo", "/v1/echo/a%20b?times=2", subject="jane").json()
    assert answer == {"word": "a ba b", "thread": threading.get_ident(), "subject": "jane"}
    assert mesh.get("echo", "/v1/nothing").status == 404
    with pytest.raises(MeshError, match="echo answered 500"):
        mesh.get("echo", "/v1/fails")
    with pytest.raises(MeshError):
        mesh.get("elsewhere", "/")


def test_what_would_wait_is_refused_rather_than_hung() -> None:
    app = asgi(application([("echo", echo())], "echo", threaded=True))
    assert run(app, "GET", "/v1/echo/a", {}).status == 500


def test_services_of_one_process_reach_each_other(tmp_path: Path) -> None:
    with running_shop(tmp_path, cards={"all": [toy_service.CARD]}) as shop:
        toy = shop.context("toy")
        assert toy.mesh.get("toy", "/v1/counts/a").json() == {"value": 0}


@pytest.mark.parametrize(("path", "subject"), [("/a b", None), ("/a\r\nx: y", None), ("/", "jane\r\nx-role: admin")])
def test_nothing_can_be_smuggled_into_a_call(path: str, subject: str | None) -> None:
    with pytest.raises(MeshError):
        HttpMesh(lambda service: ("127.0.0.1", 9)).get("orders", path, subject=subject)
