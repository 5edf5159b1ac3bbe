"""Choosing ports: the preferred one when it is free, else one nearby, else any."""

import socket
from collections.abc import Mapping

PREFERRED = {
    "gateway": 8080,
    "dashboard": 8501,
    "operations": 8081,
    "analytics": 8082,
    "provider": 8083,
    "trial": 8084,
    "mesh": 8085,
}
_STEP = 100
_TRIES = 20


def choose_ports(preferred: Mapping[str, int], bind: str = "127.0.0.1") -> dict[str, int]:
    """A free port for every part of PREFERRED. 0 asks for any; a taken port moves up in steps of 100.

    Only the gateway answers on `bind`; everything else is on loopback.
    """
    chosen: dict[str, int] = {}
    for part in PREFERRED:
        wanted = preferred.get(part, PREFERRED[part])
        address = bind if part == "gateway" else "127.0.0.1"
        chosen[part] = _choose(wanted, address, set(chosen.values()))
    return chosen


def moved(preferred: Mapping[str, int], chosen: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The parts that did not get the port they preferred: part to (preferred, chosen)."""
    wanted = {part: preferred.get(part, PREFERRED[part]) for part in chosen}
    return {part: (wanted[part], port) for part, port in chosen.items() if wanted[part] not in (0, port)}


def is_free(port: int, address: str) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
            trial.listen(1)
        except OSError:
            return False
        return True


def _choose(wanted: int, address: str, taken: set[int]) -> int:
    if wanted:
        for candidate in range(wanted, min(wanted + _STEP * _TRIES, 65536), _STEP):
            if candidate not in taken and is_free(candidate, address):
                return candidate
    while True:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as any_port:
            any_port.bind((address, 0))
            port = int(any_port.getsockname()[1])
        if port not in taken:
            return port
