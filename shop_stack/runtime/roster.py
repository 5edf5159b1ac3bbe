"""Which parts belong to a stack, where each answers, and how each is started."""

from collections.abc import Mapping

from shop_stack.errors import NotRunning
from shop_stack.mesh.envoy import EnvoyFiles
from shop_stack.runtime.forking import ForkServer
from shop_stack.runtime.parts import PartSpec, envoy, forked, program
from shop_stack.runtime.ports import PREFERRED
from shop_stack.runtime.replica_logs import ReplicaLogs
from shop_stack.settings import Endpoints, Home, Settings, read_endpoints


def part_specs(settings: Settings, fork_server: ForkServer, files: EnvoyFiles, logs: ReplicaLogs) -> list[PartSpec]:
    """The parts in the order in which they are started; the dashboard and the shoppers only when asked for."""
    at = addresses(settings)
    analytics = program("analytics", ["-m", "analytics"], settings, logs, f"{at['analytics']}/readyz")
    specs = [
        PartSpec("gateway", envoy(files, logs), gateway_address(settings)),
        PartSpec("analytics", analytics, at["analytics"]),
        PartSpec(
            "provider", forked("provider", "shop_stack.provider.app", "run_provider", fork_server), at["provider"]
        ),
        PartSpec(
            "operations",
            forked("operations", "shop_stack.operations.api", "run_operations", fork_server),
            at["operations"],
        ),
    ]
    if settings.dashboard:
        health = f"{at['dashboard']}/_stcore/health"
        specs.append(
            PartSpec("dashboard", program("dashboard", ["-m", "dashboard"], settings, logs, health), at["dashboard"])
        )
    if settings.demo:
        specs.append(PartSpec("shoppers", program("shoppers", ["-m", "shop_stack.traffic"], settings, logs, None)))
    return specs


def endpoints_of(settings: Settings) -> Endpoints:
    """The addresses that are written to the home folder."""
    at = addresses(settings)
    return Endpoints(
        gateway=gateway_address(settings),
        trial=at["trial"],
        mesh=at["mesh"],
        operations=at["operations"],
        analytics=at["analytics"],
        provider=at["provider"],
        dashboard=at["dashboard"] if settings.dashboard else None,
    )


def gateway_address(settings: Settings) -> str:
    """Where shoppers come in; a wildcard address is reached by loopback from here, a container by its name."""
    if "gateway" in settings.hosts:
        return addresses(settings)["gateway"]
    wild = settings.bind in ("0.0.0.0", "::")
    address = "127.0.0.1" if wild else settings.bind
    return f"http://{f'[{address}]' if ':' in address else address}:{settings.ports['gateway']}"


def preferred_ports(settings: Settings) -> Mapping[str, int]:
    """What was asked for, then what a killed run on this home had, then the usual."""
    earlier = _earlier(settings.home)
    asked = {part: port or earlier.get(part, 0) for part, port in settings.ports.items()}
    return {**PREFERRED, **earlier, **asked}


def _earlier(home: Home) -> dict[str, int]:
    try:
        earlier = read_endpoints(home)
    except NotRunning:
        return {}
    found = {part: getattr(earlier, part) for part in PREFERRED}
    return {part: int(address.rpartition(":")[2]) for part, address in found.items() if address}


def addresses(settings: Settings) -> dict[str, str]:
    """Where each part answers, as a URL."""
    places = {part: settings.place(part) for part in settings.ports}
    return {part: f"http://{host}:{port}" for part, (host, port) in places.items()}
