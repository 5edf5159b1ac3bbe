"""The questions' client for screens: asks over HTTP, light, and says plainly what went wrong."""

from dataclasses import dataclass, field
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

import httpx

from shop_stack.errors import AccessDenied, NotRunning, SettingError, ShopfloorError

_TRIES = 3


class _Gone(ShopfloorError):
    """The pages that follow are no longer kept."""


@dataclass(frozen=True)
class Column:
    """A column of an answer: its DuckDB type in lower case and its unit ("" without one)."""

    name: str
    type: str
    unit: str


@dataclass(frozen=True)
class Answer:
    """A question's whole answer, all its pages together.

    Times in `rows` are ISO 8601 text in UTC; `watermark["at"]` too, or None.
    """

    columns: list[Column]
    rows: list[dict[str, Any]]
    watermark: dict[str, Any] = field(default_factory=dict)
    sql: str = ""
    origin_note: str = ""


class QuestionsClient:
    """Asks one analytics with one token. Thread-safe; close it, or use it in `with`."""

    def __init__(self, base_url: str, token: str, timeout_s: float = 15.0) -> None:
        self._client = httpx.Client(
            base_url=base_url,
            timeout=httpx.Timeout(timeout_s, connect=2.0),
            headers={"authorization": f"Bearer {token}"},
            trust_env=False,
        )

    def ask(self, name: str, **parameters: object) -> Answer:
        """Ask one question; parameters that are None are left out.

        An answer of several pages is read to its end; when its pages are dropped meanwhile, from the beginning again.
        Raises AccessDenied (401, 403), SettingError (unknown question, bad parameter) and NotRunning (no answer).
        """
        for _ in range(_TRIES):
            try:
                answer = self._all_pages(f"/analytics/v1/questions/{name}", parameters)
                break
            except _Gone:
                continue
        else:
            raise NotRunning(f"analytics drops the pages of {name} faster than they are read; ask for a shorter span")
        return Answer(
            columns=[Column(c["name"], c["type"], c["unit"]) for c in answer["columns"]],
            rows=answer["rows"],
            watermark=answer["watermark"],
            sql=answer["sql"],
            origin_note=answer["origin_note"],
        )

    def questions(self) -> list[dict[str, Any]]:
        """All questions with their parameters, grain and units. Raises like `ask`."""
        listed: list[dict[str, Any]] = self._get("/analytics/v1/questions", {})
        return listed

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _all_pages(self, path: str, parameters: dict[str, object]) -> Any:
        answer = page = self._get(path, parameters)
        while page["next"] is not None:
            page = self._get(path, {**parameters, "cursor": page["next"]})
            answer["rows"] += page["rows"]
        return answer

    def _get(self, path: str, parameters: dict[str, object]) -> Any:
        given = {name: _text(value) for name, value in parameters.items() if value is not None}
        try:
            response = self._client.get(path, params=given)
        except httpx.HTTPError as error:
            raise NotRunning(f"analytics does not answer on {self._client.base_url}: {error}") from error
        if response.is_success:
            return response.json()
        detail = _detail(response)
        if response.status_code in (401, 403):
            raise AccessDenied(detail)
        if response.status_code == 410:
            raise _Gone(detail)
        if response.status_code in (400, 404):
            raise SettingError(detail)
        raise NotRunning(f"analytics cannot answer now: {detail}")


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"
