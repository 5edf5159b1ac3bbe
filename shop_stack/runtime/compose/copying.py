"""Another replica's container, derived from the inspected configuration of one that Compose made."""

from typing import Any

from shop_stack.runtime.compose.docker import NUMBER, PROJECT, SERVICE

Json = dict[str, Any]
_OWN = ("Hostname", "Domainname", "MacAddress")
"""What belongs to one container alone; the Engine gives the next its own."""
_REPLACES = "com.docker.compose.replace"


def copy_of(inspected: Json, number: int) -> tuple[str, Json]:
    """The name and body of a container like this one, as replica `number`.

    It has Compose's labels, so that `docker compose ps` lists it and `down` removes it; its networks with the service's
    aliases; its mounts, limits and health check. Raises KeyError for a container that Compose did not make.
    """
    config: Json = {key: value for key, value in inspected["Config"].items() if key not in _OWN}
    labels = {key: value for key, value in config["Labels"].items() if key != _REPLACES}
    name = f"{labels[PROJECT]}-{labels[SERVICE]}-{number}"
    config["Labels"] = labels | {NUMBER: str(number)}
    networks = {
        network: {"Aliases": _aliases(settings.get("Aliases") or [], inspected)}
        for network, settings in inspected["NetworkSettings"]["Networks"].items()
    }
    host = inspected["HostConfig"] | {"Mounts": _mounts(inspected), "Binds": None, "PortBindings": {}}
    first = next(iter(networks))
    return name, config | {
        "HostConfig": host | {"NetworkMode": first},
        "NetworkingConfig": {"EndpointsConfig": networks},
    }


def _aliases(aliases: list[str], inspected: Json) -> list[str]:
    """Those that the replicas share: not the container's own name and short id."""
    own = {inspected["Name"].lstrip("/"), inspected["Id"][:12]}
    return [alias for alias in aliases if alias not in own]


def _mounts(inspected: Json) -> list[Json]:
    """The same named volumes, folders and temporary file systems, given as mounts."""
    found = []
    for mount in inspected["Mounts"]:
        source = mount["Name"] if mount["Type"] == "volume" else mount.get("Source", "")
        one = {"Type": mount["Type"], "Target": mount["Destination"], "ReadOnly": not mount["RW"]}
        found.append(one | ({"Source": source} if source else {}))
    return found
