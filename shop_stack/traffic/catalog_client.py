"""Putting imported products into the running catalog, as an operator does."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from shop_stack.access import read_token
from shop_stack.errors import AccessDenied, ImportRefused, NotRunning
from shop_stack.settings import Home, read_endpoints

_BATCH = 200  # products of one request: as many ids as the catalog looks up at once, far below the body limit
_TRIES = 6
_LATER = frozenset({408, 429, 500, 502, 503, 504})


class CatalogClient:
    """The catalog behind the gateway, with the home's operator token. Raises NotRunning or AccessDenied."""

    def __init__(self, home: Home, pause_s: float = 0.5) -> None:
        headers = {"authorization": f"Bearer {read_token(home)}", "content-type": "application/json"}
        self._http = httpx.Client(base_url=read_endpoints(home).gateway, headers=headers, timeout=30, trust_env=False)
        self._pause_s = pause_s

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def add_missing(self, products: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int]]:
        """Add the products whose ids the catalog does not have; after each batch (added, kept as they were)."""
        for start in range(0, len(products), _BATCH):
            batch = products[start : start + _BATCH]
            known = self._known([product["product_id"] for product in batch])
            missing = [product for product in batch if product["product_id"] not in known]
            if missing:
                self._add(missing)
            yield len(missing), len(batch) - len(missing)

    def _known(self, ids: list[str]) -> set[str]:
        answer = self._call("GET", f"/v1/products?ids={','.join(quote(name, safe='') for name in ids)}")
        return {item["product_id"] for item in answer["items"]}

    def _add(self, products: list[dict[str, Any]]) -> None:
        body = msgspec.json.encode({"products": products})
        key = hashlib.sha256(body).hexdigest()
        self._call("POST", "/v1/products/batch", body, {"idempotency-key": key})

    def _call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(self._pause_s * 2 ** (attempt - 1))
            try:
                answer = self._http.request(method, path, content=body, headers=headers)
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code < 300:
                return answer.json()
            problem = f"HTTP {answer.status_code}: {answer.text[:200]}"
            if answer.status_code not in _LATER:
                break
        return _give_up(problem)


def _give_up(problem: str) -> Any:
    if problem.startswith(("HTTP 401", "HTTP 403")):
        raise AccessDenied(f"the catalog does not take the operator's token ({problem})")
    if problem.startswith("HTTP 4"):
        raise ImportRefused(f"the catalog refused the products ({problem}); what was added before stays")
    raise NotRunning(f"the catalog does not answer ({problem}); look at: shopfloor status; then import again to go on")
