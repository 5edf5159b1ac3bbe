"""Envoy's whole configuration as one JSON document, rendered from the policy, the ports and the keys."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop_stack.access import ISSUERS, Issuer, jwks_path
from shop_stack.mesh.clusters import absent_collector, floor_cluster, service_cluster
from shop_stack.mesh.listeners import Door, edge_listener, mesh_listener
from shop_stack.mesh.policy import FLOORS, MeshPolicy
from shop_stack.settings import LOOPBACK, Home, Settings

Json = dict[str, Any]
LATENCY_BUCKETS_MS = (
    0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 125, 150, 200, 250, 300, 400, 500, 750,
    1000, 1500, 2000, 3000, 5000, 10000, 30000,
)  # fmt: skip


@dataclass(frozen=True)
class EnvoyFiles:
    """Where Envoy's files lie in the home folder; the admin socket is made by Envoy with mode 0600."""

    folder: Path

    @property
    def bootstrap(self) -> Path:
        return self.folder / "envoy.json"

    @property
    def endpoints(self) -> Path:
        return self.folder / "endpoints"

    def endpoint_file(self, service: str) -> Path:
        return self.endpoints / f"{service}.json"

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    @property
    def admin_socket(self) -> Path:
        return self.folder / "admin.sock"


def envoy_files(home: Home) -> EnvoyFiles:
    """Envoy's files of this home."""
    return EnvoyFiles(home.mesh)


def read_key_sets(home: Home) -> dict[Issuer, str]:
    """Each issuer's JWKS document."""
    return {issuer: jwks_path(home, issuer).read_text() for issuer in ISSUERS}


def bootstrap(
    policy: MeshPolicy, files: EnvoyFiles, key_sets: Mapping[Issuer, str], settings: Settings, inside: str = LOOPBACK
) -> Json:
    """The bootstrap document. The gateway's door is open on `settings.bind`, those of trials and the mesh on `inside`.

    Envoy runs with `files.folder` as its working folder: the admin socket's path is relative to it, because the
    path of a Unix socket holds 107 bytes at most.
    """
    ports = settings.ports
    access_log = Path("/dev/stdout") if settings.hosts else files.access_log
    return {
        "node": {"id": "gateway", "cluster": "shopfloor"},
        "admin": {"address": {"pipe": {"path": files.admin_socket.name, "mode": 0o600}}},
        "stats_flush_on_admin": True,
        "stats_config": {"histogram_bucket_settings": [_latency_buckets()]},
        "static_resources": {
            "listeners": [
                edge_listener(policy, key_sets, Door("edge", settings.bind, ports["gateway"]), access_log),
                edge_listener(policy, key_sets, Door("trial", inside, ports["trial"], 1), access_log),
                mesh_listener(policy, Door("mesh", inside, ports["mesh"])),
            ],
            "clusters": [
                *(service_cluster(name, files.endpoint_file(name), policy.upstream) for name in policy.services),
                *(floor_cluster(name, settings.place(name), policy.upstream) for name in FLOORS),
                absent_collector(),
            ],
        },
    }


def write_bootstrap(document: Json, files: EnvoyFiles) -> None:
    """Write the bootstrap as JSON (as YAML `id: n` would become false), by rename."""
    files.folder.mkdir(parents=True, exist_ok=True)
    fresh = files.bootstrap.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=1))
    os.replace(fresh, files.bootstrap)


def _latency_buckets() -> Json:
    """Bounds fine enough that percentiles of a few milliseconds mean something."""
    return {"match": {"suffix": "upstream_rq_time"}, "buckets": list(LATENCY_BUCKETS_MS)}
