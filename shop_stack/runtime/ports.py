"""Choosing ports: the preferred one when it can be had, else one nearby, else any; what is chosen is held."""

import socket
from collections.abc import Mapping

from shop_stack.listening import claim, claim_any

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


class HeldPorts:
    """A port for every part of PREFERRED, each held until `release`. 0 asks for any; a taken one moves up by hundreds.

    Only the gateway answers on `bind`; everything else is on loopback.
    """

    def __init__(self, preferred: Mapping[str, int], bind: str = "127.0.0.1") -> None:
        self._holders: dict[str, socket.socket] = {}
        for part in PREFERRED:
            wanted = preferred.get(part, PREFERRED[part])
            self._holders[part] = _hold(wanted, bind if part == "gateway" else "127.0.0.1")
        self.chosen = {part: int(holder.getsockname()[1]) for part, holder in self._holders.items()}

    def release(self) -> None:
        """Let go of all."""
        for holder in self._holders.values():
            holder.close()


def choose_ports(preferred: Mapping[str, int], bind: str = "127.0.0.1") -> dict[str, int]:
    """Ports that were free a moment ago, for who holds none; see HeldPorts."""
    held = HeldPorts(preferred, bind)
    held.release()
    return held.chosen


def moved(preferred: Mapping[str, int], chosen: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The parts that did not get the port they preferred: part to (preferred, chosen)."""
    wanted = {part: preferred.get(part, PREFERRED[part]) for part in chosen}
    return {part: (wanted[part], port) for part, port in chosen.items() if wanted[part] not in (0, port)}


def _hold(wanted: int, address: str) -> socket.socket:
    if wanted:
        for candidate in range(wanted, min(wanted + _STEP * _TRIES, 65536), _STEP):
            holder = claim(address, candidate)
            if holder is not None:
                return holder
    return claim_any(address)
