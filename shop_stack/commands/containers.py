"""What commands know in a container that the runtime's socket is not shared with: what operations tells them."""

from typing import Any

import msgspec

from shop_stack.access import read_token
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import PartView, ServiceView, StackView
from shop_stack.settings import Home, read_endpoints


def operations_of(home: Home) -> OperationsClient:
    """Operations of the running stack, asked with the token that this container has."""
    return OperationsClient(read_endpoints(home).operations, read_token(home))


def summary(home: Home, stack: StackView) -> dict[str, Any]:
    """The state as `shopfloor status` tells it, from what operations knows; pids are the containers' own affair."""
    endpoints = read_endpoints(home)
    ready = all(one.ready == one.desired for one in stack.services) and all(part.up for part in stack.parts)
    return {
        "ready": ready,
        "address": endpoints.gateway,
        "home": str(home.path),
        "addresses": msgspec.to_builtins(endpoints),
        "services": [_service(one) for one in stack.services],
        "parts": [_part(part) for part in stack.parts],
    }


def _service(one: ServiceView) -> dict[str, Any]:
    replicas = [msgspec.to_builtins(replica) | {"note": ""} for replica in one.replicas]
    return {"name": one.name, "group": one.group, "ready": one.ready, "desired": one.desired, "replicas": replicas}


def _part(part: PartView) -> dict[str, Any]:
    state = "ready" if part.up else "crashed"
    return msgspec.to_builtins(part) | {"state": state, "pid": None, "note": part.because}  # type: ignore[no-any-return]
