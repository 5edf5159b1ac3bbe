"""Envoy's listeners: the public edge, its loopback twin for load trials, and the mesh between services."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop_stack.access import Issuer
from shop_stack.mesh.clusters import seconds
from shop_stack.mesh.filters import edge_filters, only_roles, router, token_of, typed
from shop_stack.mesh.policy import SAFE_METHODS, SAFE_TO_REPEAT, UNSEEN_ONLY, EdgeRoute, MeshPolicy, Retry

Json = dict[str, Any]
_CORE = "envoy.extensions"


@dataclass(frozen=True)
class Door:
    """Where a listener answers; `trusted_hops` of X-Forwarded-For are believed (0 on the public one)."""

    name: str
    address: str
    port: int
    trusted_hops: int = 0


def edge_listener(policy: MeshPolicy, key_sets: Mapping[Issuer, str], door: Door, access_log: Path) -> Json:
    """A door to the outside: default deny, identity from tokens only, limits, paths normalised, a JSON log."""
    prefixes = dict.fromkeys(route.prefix for route in policy.edge)
    routes = [*map(_edge_route, policy.edge), *map(_wrong_method, prefixes)]
    host = {"name": "edge", "domains": ["*"], "routes": routes}
    manager = _manager(door, [host], edge_filters(policy.limits, key_sets))
    manager |= {
        "use_remote_address": True,
        "xff_num_trusted_hops": door.trusted_hops,
        "local_reply_config": _problems(),
        "access_log": [_access_log(door.name, access_log)],
        "server_name": "shopfloor",
    }
    return _listener(door, manager)


def mesh_listener(policy: MeshPolicy, door: Door) -> Json:
    """The door between services: `Host: <service>.mesh`, reads repeated, everything else only when unseen."""
    hosts = [
        {
            "name": service,
            "domains": [f"{service}.mesh", f"{service}.mesh:*"],
            "routes": [
                _mesh_route(service, SAFE_TO_REPEAT, policy.mesh_timeout_s, SAFE_METHODS),
                _mesh_route(service, UNSEEN_ONLY, policy.mesh_timeout_s, ()),
            ],
        }
        for service in policy.services
    ]
    return _listener(door, _manager(door, hosts, [router()]))


def _edge_route(route: EdgeRoute) -> Json:
    checks = token_of(route.issuer)
    if route.roles is not None:
        checks |= only_roles(route.roles)
    return {
        "match": {"path_separated_prefix": route.prefix, "headers": [_methods(route.methods)]},
        "route": _forward(route.cluster, route.retry, route.timeout_s),
        "typed_per_filter_config": checks,
    }


def _wrong_method(prefix: str) -> Json:
    """A known path with a method that it does not have."""
    return {
        "match": {"path_separated_prefix": prefix},
        "direct_response": {"status": 405},
        "typed_per_filter_config": token_of(None),
    }


def _mesh_route(service: str, retry: Retry, timeout_s: float, methods: tuple[str, ...]) -> Json:
    match: Json = {"prefix": "/"}
    if methods:
        match["headers"] = [_methods(methods)]
    return {"match": match, "route": _forward(service, retry, timeout_s)}


def _methods(methods: tuple[str, ...]) -> Json:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(methods)}}}


def _forward(cluster: str, retry: Retry, timeout_s: float | None) -> Json:
    """Route to a cluster; an event stream has neither a timeout nor an idle limit below its heartbeat."""
    policy: Json = {
        "retry_on": ",".join(retry.conditions),
        "num_retries": retry.attempts,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.5s"},
        "host_selection_retry_max_attempts": 3,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed(f"{_CORE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
            }
        ],
    }
    if retry.per_try_s is not None:
        policy["per_try_timeout"] = seconds(retry.per_try_s)
    action: Json = {"cluster": cluster, "timeout": seconds(timeout_s or 0), "retry_policy": policy}
    if timeout_s is None:
        action["idle_timeout"] = "60s"
    return action


def _manager(door: Door, hosts: list[Json], filters: list[Json]) -> Json:
    """The HTTP connection manager that every door shares."""
    return {
        "stat_prefix": door.name,
        "codec_type": "AUTO",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "request_headers_timeout": "10s",
        "tracing": _tracing(),
        "generate_request_id": False,
        "route_config": {"name": door.name, "virtual_hosts": hosts, "validate_clusters": True},
        "http_filters": filters,
    }


def _tracing() -> Json:
    """Trace context for every request; no span is sampled, so none is ever sent to the absent collector."""
    never = {"value": 0}
    return {
        "random_sampling": never,
        "overall_sampling": never,
        "client_sampling": never,
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": typed(
                "envoy.config.trace.v3.OpenTelemetryConfig",
                grpc_service={"envoy_grpc": {"cluster_name": "otlp"}, "timeout": "0.25s"},
                service_name="gateway",
            ),
        },
    }


def _problems() -> Json:
    """What the edge itself answers, as RFC 9457 problem details."""
    return {
        "body_format": {
            "json_format": {
                "type": "about:blank",
                "title": "%LOCAL_REPLY_BODY%",
                "status": "%RESPONSE_CODE%",
                "detail": "%RESPONSE_CODE_DETAILS%",
            },
            "content_type": "application/problem+json",
        }
    }


def _access_log(door: str, path: Path) -> Json:
    """One JSON line a request, without query strings or headers that could hold secrets."""
    line = {
        "at": "%START_TIME%",
        "door": door,
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ:PATH)%",
        "status": "%RESPONSE_CODE%",
        "ms": "%DURATION%",
        "service": "%UPSTREAM_CLUSTER%",
        "replica": "%UPSTREAM_HOST%",
        "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "flags": "%RESPONSE_FLAGS%",
        "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "subject": "%REQ(X-SUBJECT)%",
        "trace": "%TRACE_ID%",
    }
    message = f"{_CORE}.access_loggers.file.v3.FileAccessLog"
    config = typed(message, path=str(path), log_format={"json_format": line})
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def _listener(door: Door, manager: Json) -> Json:
    message = f"{_CORE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    chain = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed(message, **manager),
    }
    return {
        "name": door.name,
        "address": {"socket_address": {"address": door.address, "port_value": door.port}},
        "filter_chains": [{"filters": [chain]}],
        "enable_reuse_port": True,  # the supervisor holds the port (see shop_stack/listening.py)
    }
