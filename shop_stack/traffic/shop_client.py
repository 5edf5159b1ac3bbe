"""The shop's HTTP API as a shopper's browser uses it, with retries under one key and every request counted."""

import asyncio
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

RETRIES = 2
_RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})
_BACKOFF_S = (0.2, 0.8)
_GOOD = ("200", "201", "202", "204")


@dataclass
class Tally:
    """What became of all requests; `latencies_ms` holds one figure a request, its retries included."""

    requests: int = 0
    retried: int = 0
    failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)


class RequestFailed(Exception):
    """A request still failed after its retries; it is counted already."""


@dataclass(frozen=True)
class Shopper:
    """One address and token; `subject` is the guest's or customer's id."""

    address: str
    token: str = ""
    subject: str = ""


class ShopClient:
    """Calls the shop at `base_url` (the trial listener, which trusts X-Forwarded-For) for many shoppers."""

    def __init__(self, base_url: str, tally: Tally, connections: int = 64) -> None:
        self._http = aiohttp.ClientSession(
            base_url=base_url,
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=20),
            timeout=aiohttp.ClientTimeout(total=8.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        self.tally = tally

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def get(self, shopper: Shopper, path: str, **parameters: Any) -> Any:
        """GET; the decoded body. Raises RequestFailed."""
        return await self._call(shopper, "GET", path, None, None, parameters)

    async def put(self, shopper: Shopper, path: str, body: Any) -> Any:
        """PUT; the decoded body. Raises RequestFailed."""
        return await self._call(shopper, "PUT", path, body, None, {})

    async def post(self, shopper: Shopper, path: str, body: Any, key: str | None = None) -> Any:
        """POST under one idempotency key for all its tries; the decoded body. Raises RequestFailed."""
        return await self._call(shopper, "POST", path, body, key or str(uuid.uuid4()), {})

    async def guest(self, address: str) -> Shopper:
        """A new guest session from this address. Raises RequestFailed."""
        answer = await self.post(Shopper(address), "/v1/sessions", {})
        return Shopper(address, answer["token"], answer["subject"])

    async def _call(
        self, shopper: Shopper, method: str, path: str, body: Any, key: str | None, parameters: dict[str, Any]
    ) -> Any:
        headers = _headers(shopper, body, key)
        content = None if body is None else msgspec.json.encode(body)
        started = time.perf_counter()
        reason = ""
        answer = b""
        self.tally.requests += 1
        for attempt in range(RETRIES + 1):
            if attempt:
                self.tally.retried += attempt == 1
                await asyncio.sleep(_BACKOFF_S[attempt - 1])
            try:
                async with self._http.request(method, path, data=content, headers=headers, params=parameters) as got:
                    answer = await got.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = type(error).__name__
                continue
            reason = f"{method} {path.split('/')[2]} {got.status}"
            if got.status not in _RETRY_STATUSES and not _twin_at_work(got):
                break
        self.tally.latencies_ms.append((time.perf_counter() - started) * 1000)
        if not reason.endswith(_GOOD):
            self.tally.failed += 1
            self.tally.failures[reason] += 1
            raise RequestFailed(reason)
        return msgspec.json.decode(answer) if answer else None


def _headers(shopper: Shopper, body: Any, key: str | None) -> dict[str, str]:
    headers = {"x-forwarded-for": shopper.address}
    if body is not None:
        headers["content-type"] = "application/json"
    if shopper.token:
        headers["authorization"] = f"Bearer {shopper.token}"
    if key is not None:
        headers["idempotency-key"] = key
    return headers


def _twin_at_work(answer: aiohttp.ClientResponse) -> bool:
    return answer.status == 409 and "retry-after" in answer.headers
