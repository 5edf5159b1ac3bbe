"""`python -m shop_stack.runtime.compose.preparing`: what must lie in the volumes before anything starts."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shop_stack.access import prepare_keys
from shop_stack.errors import SettingError
from shop_stack.mesh.endpoints import EndpointFiles
from shop_stack.mesh.envoy import bootstrap, envoy_files, read_key_sets, write_bootstrap
from shop_stack.mesh.policy import policy_of
from shop_stack.runtime.home_lock import write_whole
from shop_stack.runtime.roster import endpoints_of
from shop_stack.settings import Home, Settings, from_environment, to_environment
from shop_stack.stack import read_stack

SHARES: Mapping[str, tuple[str, ...]] = {
    "customers": ("shoppers.pem", "people.key"),
    "operations": ("viewer.token",),
    "dashboard": ("viewer.token",),
    "console": ("operator.token", "viewer.token", "admin.token"),
}
"""Who may know what: the files that each container finds in its own secrets volume; whoever is not named knows none."""


def prepare(settings: Settings, vault: Path, shares: Path) -> None:
    """Make what is missing, and hand each container its share of the secrets: `shares/<container>/<file>`.

    `vault` keeps all of them and is mounted nowhere else. What is there already stays as it is.
    """
    stack = read_stack(settings.stack_file)
    home = replace(settings.home, secrets=vault)
    home.keys.mkdir(parents=True, exist_ok=True)
    prepare_keys(home, datetime.now(UTC))
    for container, names in SHARES.items():
        for name in names:
            _hand(vault / name, shares / container / name)
    files = envoy_files(home)
    policy = policy_of(stack)
    write_bootstrap(bootstrap(policy, files, read_key_sets(home), settings, settings.inside), files)
    fresh = [service for service in policy.services if not files.endpoint_file(service).exists()]
    EndpointFiles(files).write(fresh, [])
    shared = replace(settings, home=Home(home.path))
    write_whole(home.path / "settings.json", to_environment(shared)["SHOPFLOOR_SETTINGS"].encode())
    write_whole(home.endpoints, msgspec.json.encode(endpoints_of(settings)))


def _hand(secret: Path, share: Path) -> None:
    """A copy that only its owner reads. Raises SettingError for a share whose volume is not mounted."""
    if not share.parent.is_dir():
        raise SettingError(f"{share.parent} is not there: mount the secrets volume of {share.parent.name} on it")
    descriptor = os.open(share.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret.read_bytes())
    os.replace(share.with_suffix(".new"), share)


if __name__ == "__main__":
    prepare(from_environment(), Path(sys.argv[1]), Path(sys.argv[2]))
