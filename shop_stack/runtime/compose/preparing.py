"""`python -m shop_stack.runtime.compose.preparing`: what must lie in the volumes before anything starts."""

import logging
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shop_stack.access import prepare_keys
from shop_stack.errors import SettingError, ShopfloorError
from shop_stack.hosting.provisioning import make_passwords
from shop_stack.hosting.topology import read_topology
from shop_stack.logs import write_json_lines
from shop_stack.mesh.endpoints import EndpointFiles
from shop_stack.mesh.envoy import bootstrap, envoy_files, read_key_sets, write_bootstrap
from shop_stack.mesh.policy import policy_of
from shop_stack.postgres import AUDITOR, password_in
from shop_stack.runtime.home_lock import write_whole
from shop_stack.runtime.roster import endpoints_of
from shop_stack.settings import TOPOLOGIES, Home, Settings, from_environment, to_environment
from shop_stack.stack import Stack, read_stack

POSTGRES = "postgres"
"""The database server's administrator, and the container that has to know the password."""
PGPASS = "pgpass"
_TOKENS = {
    "operations": ("viewer.token",),
    "dashboard": ("viewer.token",),
    "console": ("operator.token", "viewer.token", "admin.token"),
    "past": ("operator.token",),
}
_log = logging.getLogger(__name__)
_KEYS = {"customers": ("shoppers.pem", "people.key")}


def shares_of(stack: Stack) -> dict[str, tuple[str, ...]]:
    """Who may know what: the files that each container finds in its own secrets volume.

    A process group knows the keys and store passwords of its services, whatever the topology; operations reads stores
    as the auditor. Whoever is not named knows none.
    """
    shares = dict(_TOKENS)
    shares["operations"] += (AUDITOR,)
    shares[POSTGRES] = (POSTGRES,)
    for name in TOPOLOGIES:
        for group, services in read_topology(name, stack).groups.items():
            shares[group] = tuple(file for service in services for file in (service, *_KEYS.get(service, ())))
    return shares


def prepare(settings: Settings, vault: Path, shares: Path) -> None:
    """Make what is missing, and hand each container its share of the secrets: `shares/<container>/<file>`.

    `vault` keeps all of them and is mounted nowhere else. What is there already stays as it is.
    """
    stack = read_stack(settings.stack_file)
    home = replace(settings.home, secrets=vault)
    home.keys.mkdir(parents=True, exist_ok=True)
    prepare_keys(home, datetime.now(UTC))
    make_passwords(vault, [*(spec.name for spec in stack.services), AUDITOR, POSTGRES])
    write_secret(vault / PGPASS, f"*:*:*:{POSTGRES}:{password_in(vault, POSTGRES)}\n".encode())
    for container, names in shares_of(stack).items():
        for name in names:
            _hand(vault / name, shares / container / name, 0o644 if container == POSTGRES else 0o600)
    files = envoy_files(home)
    policy = policy_of(stack)
    write_bootstrap(bootstrap(policy, files, read_key_sets(home), settings, settings.inside), files)
    fresh = [service for service in policy.services if not files.endpoint_file(service).exists()]
    EndpointFiles(files).write(fresh, [])
    shared = replace(settings, home=Home(home.path))
    write_whole(home.path / "settings.json", to_environment(shared)["SHOPFLOOR_SETTINGS"].encode())
    write_whole(home.endpoints, msgspec.json.encode(endpoints_of(settings)))
    handed = shares_of(stack)
    _log.info("%d secrets lie ready for %d containers, and the gateway's configuration for %d services",
              sum(map(len, handed.values())), len(handed), len(policy.services))  # fmt: skip


def _hand(secret: Path, share: Path, mode: int) -> None:
    """A copy for whom the volume is mounted. Raises SettingError when it is not."""
    if not share.parent.is_dir():
        raise SettingError(f"{share.parent} is not there: mount the secrets volume of {share.parent.name} on it")
    write_secret(share, secret.read_bytes(), mode)


def write_secret(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file that was never wider open than `mode`."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    os.replace(fresh, path)


if __name__ == "__main__":
    write_json_lines("prepare")
    try:
        prepare(from_environment(), Path(sys.argv[1]), Path(sys.argv[2]))
    except ShopfloorError as error:
        _log.error("%s", error)
        sys.exit(1)
