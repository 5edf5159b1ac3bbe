"""The OpenTelemetry collector that the environment names: OTLP over HTTP in JSON is posted to it.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import http.client
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from shop_stack.errors import SettingError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The variable that names a collector (`http://HOST:4318`); without it nothing is made or sent."""
TIMEOUT_S = 3.0


def endpoint() -> str | None:
    """What the environment names."""
    return os.environ.get(ENDPOINT, "").strip() or None


class Collector:
    """Takes bodies, one connection each. Raises SettingError when the endpoint is no URL, without repeating it."""

    def __init__(self, endpoint: str) -> None:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise SettingError(f"{ENDPOINT} is not http://HOST:PORT; set it so, or not at all")
        self._url = url
        self.host = url.hostname

    def post(self, signal: str, body: bytes) -> bool:
        """Send one body of `traces` or `metrics`; whether it was taken. Waits at most 3 s for each step."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.host, self._url.port, timeout=TIMEOUT_S)
        try:
            path = f"{self._url.path.rstrip('/')}/v1/{signal}"
            connection.request("POST", path, body, {"content-type": "application/json"})
            return connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def resource(service: str, replica: str) -> dict[str, object]:
    """Who sends, as OTLP's resource."""
    named = {"service.name": service, "service.namespace": "shopfloor", "service.instance.id": replica}
    return {"attributes": attributes(named)}


def attributes(values: Mapping[str, str | int]) -> list[dict[str, object]]:
    """OTLP's list of keys with typed values."""
    return [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
        for key, value in values.items()
    ]
