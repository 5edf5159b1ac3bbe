"""Ports are held from their choice on: whoever comes between the choice and the listening is refused."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from shop_stack.errors import SettingError
from shop_stack.listening import claim, claim_any, listen_on
from shop_stack.runtime.ports import PREFERRED, HeldPorts, moved

pytestmark = pytest.mark.pure
HERE = "127.0.0.1"


@pytest.fixture
def held() -> Iterator[HeldPorts]:
    ports = HeldPorts(dict.fromkeys(PREFERRED, 0))
    yield ports
    ports.release()


def stranger(port: int, address: str = HERE) -> socket.socket:
    """A server that knows nothing of us, as most are: it only asks to reuse an address."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((address, port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


@pytest.mark.parametrize("address", [HERE, "0.0.0.0"])
def test_a_stranger_cannot_take_a_port_that_is_held(held: HeldPorts, address: str) -> None:
    for port in held.chosen.values():
        with pytest.raises(OSError, match="in use"):
            stranger(port, address)


def test_the_part_listens_on_its_port_and_again_after_it_died_with_connections_open(held: HeldPorts) -> None:
    port = held.chosen["operations"]
    for _ in range(2):
        with (
            closing(listen_on(HERE, port, "operations")) as listener,
            closing(socket.create_connection((HERE, port))) as caller,
        ):
            accepted, _ = listener.accept()
            accepted.sendall(b"here")
            accepted.close()  # closed first: its port lingers
            assert caller.recv(10) == b"here"


def test_a_port_is_claimed_again_while_old_connections_linger() -> None:
    first = claim_any(HERE)
    port = int(first.getsockname()[1])
    with closing(listen_on(HERE, port, "analytics")) as listener:
        caller = socket.create_connection((HERE, port))
        accepted, _ = listener.accept()
        accepted.close()
        assert caller.recv(1) == b""
        caller.close()
    first.close()
    again = claim(HERE, port)
    assert again is not None
    listen_on(HERE, port, "analytics").close()
    again.close()


def test_nobody_is_served_by_a_port_that_is_only_held(held: HeldPorts) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HERE, held.chosen["gateway"]))


def test_two_stacks_get_different_ports(held: HeldPorts) -> None:
    second = HeldPorts(held.chosen)
    try:
        assert set(second.chosen.values()).isdisjoint(held.chosen.values())
        assert set(moved(held.chosen, second.chosen)) == set(PREFERRED)
    finally:
        second.release()
    third = claim(HERE, second.chosen["gateway"])
    assert third is not None
    third.close()


def test_of_many_who_claim_a_port_at_once_one_has_it() -> None:
    for _ in range(200):
        first = claim_any(HERE)
        port = int(first.getsockname()[1])
        first.close()
        together = threading.Barrier(4)
        got: list[socket.socket] = []

        def go(port: int = port, together: threading.Barrier = together, got: list[socket.socket] = got) -> None:
            together.wait()
            if (holder := claim(HERE, port)) is not None:
                got.append(holder)

        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        for holder in got:
            holder.close()


def test_a_part_whose_port_is_taken_says_so() -> None:
    with (
        closing(stranger(0)) as taken,
        pytest.raises(SettingError, match=r"analytics cannot listen on .* free the port"),
    ):
        listen_on(HERE, taken.getsockname()[1], "analytics")
