"""What the page reads: questions and operations, asked with the viewer's token and cached once a process."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import streamlit as st

from analytics.client import QuestionsClient
from shop_stack.access import read_token
from shop_stack.errors import ShopfloorError
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import ActionView, Expectation, IncidentView, StackView
from shop_stack.settings import Endpoints, Settings, from_environment, read_endpoints
from shop_stack.stack import Stack, read_stack

Row = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """A question's rows with their freshness, or the reason why there are none."""

    rows: list[Row]
    as_of: datetime | None = None
    note: str = ""
    sql: str = ""
    failed: str | None = None

    @property
    def empty(self) -> bool:
        """Answered, and there is nothing."""
        return self.failed is None and not self.rows


@st.cache_resource
def settings() -> Settings:
    """The settings that the supervisor handed over."""
    return from_environment()


@st.cache_resource
def stack() -> Stack:
    """The stack described."""
    return read_stack(settings().stack_file)


@st.cache_data(ttl=2, show_spinner=False)
def endpoints() -> Endpoints:
    """Where the parts answer; a restarted stack may have moved them."""
    return read_endpoints(settings().home)


@st.cache_resource(max_entries=4)
def _questions(address: str) -> QuestionsClient:
    return QuestionsClient(address, read_token(settings().home, "viewer"))


@st.cache_resource(max_entries=4)
def _operations(address: str) -> OperationsClient:
    return OperationsClient(address, read_token(settings().home, "viewer"))


def ask(question: str, **parameters: Any) -> Reading:
    """Ask analytics, at most every two seconds a question; a failure is a Reading that says so."""
    return _ask(question, tuple(sorted(parameters.items())))


@st.cache_data(ttl=2, max_entries=200, show_spinner=False)
def _ask(question: str, parameters: tuple[tuple[str, Any], ...]) -> Reading:
    try:
        answer = _questions(endpoints().analytics).ask(question, **dict(parameters))
    except (ShopfloorError, httpx.HTTPError) as error:
        return Reading([], failed=f"analytics does not answer: {error}")
    at = answer.watermark.get("at") if answer.watermark else None
    as_of = datetime.fromisoformat(at) if isinstance(at, str) else at
    return Reading(list(answer.rows), as_of, getattr(answer, "origin_note", "") or "", answer.sql)


@st.cache_data(ttl=2, show_spinner=False)
def live_stack() -> StackView | str:
    """The services now, or why operations does not say."""
    try:
        return _operations(endpoints().operations).stack()
    except (ShopfloorError, httpx.HTTPError) as error:
        return f"operations does not answer: {error}"


@st.cache_data(ttl=2, show_spinner=False)
def actions() -> list[ActionView]:
    """The last ten actions; none when operations does not answer (live_stack says that)."""
    try:
        return _operations(endpoints().operations).actions(10)
    except (ShopfloorError, httpx.HTTPError):
        return []


@st.cache_data(ttl=2, show_spinner=False)
def open_incidents() -> list[IncidentView]:
    """Those that are not over, nobody's first; none when operations does not answer (live_stack says that)."""
    try:
        found = _operations(endpoints().operations).incidents()
    except (ShopfloorError, httpx.HTTPError):
        return []
    still = [one for one in found if one.resolved_at is None]
    return sorted(still, key=lambda one: (one.acknowledged_by is not None, one.opened_at))


def expectation(service: str, replicas: int) -> Expectation | str:
    """What a scaling would do, or why that cannot be said."""
    try:
        return _operations(endpoints().operations).expectation(service, replicas)
    except (ShopfloorError, httpx.HTTPError) as error:
        return str(error)


def scale(service: str, replicas: int, reason: str, token: str) -> str:
    """Scale with the operator's own token; the action's id. Raises AccessDenied, ActionRefused, NotRunning."""
    with OperationsClient(endpoints().operations, token) as client:
        return client.scale(service, replicas, reason, confirm_zero=replicas == 0)


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)
