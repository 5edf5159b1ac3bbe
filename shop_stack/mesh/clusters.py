"""Envoy's clusters: one per service with endpoints from a file, one per floor at a fixed port."""

from pathlib import Path
from typing import Any, NamedTuple

from shop_stack.mesh.policy import Upstream
from shop_stack.settings import LOOPBACK, Place

Json = dict[str, Any]
READY_PATH = "/readyz"
_PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Endpoint(NamedTuple):
    """Where a replica answers; one that is draining gets no new requests."""

    place: Place
    draining: bool = False


def seconds(value: float) -> str:
    """A protobuf duration, such as `0.5s`."""
    return f"{value:g}s"


def service_cluster(service: str, endpoint_file: Path, upstream: Upstream) -> Json:
    """A service's cluster: balanced by least requests over the endpoints in its file, health-checked, bounded."""
    return {
        "name": service,
        "type": "EDS",
        "eds_cluster_config": {
            "service_name": service,
            "eds_config": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": str(endpoint_file),
                    "watched_directory": {"path": str(endpoint_file.parent)},
                },
            },
        },
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "ignore_health_on_host_removal": True,
        "health_checks": [_health_check(service, upstream)],
        "outlier_detection": _outliers(upstream),
        **_connection(upstream),
    }


def floor_cluster(name: str, place: Place, upstream: Upstream) -> Json:
    """A part with one process at a known place (operations, analytics); a name is looked up again and again."""
    return {
        "name": name,
        "type": "STATIC" if place[0] == LOOPBACK else "STRICT_DNS",
        "load_assignment": assignment(name, [Endpoint(place)]),
        **_connection(upstream),
    }


def absent_collector() -> Json:
    """The cluster that the tracer names: without a tracer Envoy sets no traceparent, and nothing is ever sent."""
    return {"name": "otlp", "type": "STATIC", "load_assignment": {"cluster_name": "otlp"}}


def assignment(cluster: str, endpoints: list[Endpoint]) -> Json:
    """A load assignment."""
    return {
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [_endpoint(one) for one in endpoints]}],
    }


def _endpoint(endpoint: Endpoint) -> Json:
    host, port = endpoint.place
    return {
        "endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}},
        "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
    }


def _connection(upstream: Upstream) -> Json:
    """Connection settings and circuit breakers."""
    return {
        "connect_timeout": seconds(upstream.connect_s),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": upstream.max_connections,
                    "max_pending_requests": upstream.max_pending,
                    "max_requests": upstream.max_requests,
                    "max_retries": upstream.max_retries,
                }
            ]
        },
        "typed_extension_protocol_options": {
            _PROTOCOLS: {
                "@type": f"type.googleapis.com/{_PROTOCOLS}",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": seconds(upstream.idle_s)},
            }
        },
    }


def _health_check(service: str, upstream: Upstream) -> Json:
    return {
        "timeout": seconds(upstream.health_timeout_s),
        "interval": seconds(upstream.health_interval_s),
        "no_traffic_interval": seconds(upstream.health_idle_interval_s),
        "no_traffic_healthy_interval": seconds(upstream.health_idle_interval_s),
        "unhealthy_interval": "0.5s",
        "unhealthy_threshold": upstream.unhealthy_after,
        "healthy_threshold": 1,
        "http_health_check": {"path": READY_PATH, "host": f"{service}.mesh"},
    }


def _outliers(upstream: Upstream) -> Json:
    return {
        "consecutive_5xx": upstream.consecutive_failures,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": upstream.consecutive_failures,
        "interval": "1s",
        "base_ejection_time": seconds(upstream.ejection_s),
        "max_ejection_percent": upstream.max_ejected_percent,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
    }
