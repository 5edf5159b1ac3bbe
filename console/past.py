"""What analytics keeps of an earlier minute, asked in one go; times stay as it answers them, ISO 8601 in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from analytics.moments import spelled

if TYPE_CHECKING:
    from analytics.client import QuestionsClient

Rows = Sequence[Mapping[str, Any]]
SHOWN_MINUTES = 60
LATEST_MINUTES = 5  # a service whose last measured minute is older is not told


@dataclass(frozen=True)
class Past:
    """The answers as of `at`, a whole minute (UTC) before which events count; each as its question's rows."""

    at: datetime
    vitals: Rows
    services: Rows
    groups: Rows
    partitions: Rows
    replicas: Rows
    incidents: Rows
    actions: Rows
    topics: Rows


def ask_past(client: "QuestionsClient", at: datetime) -> Past:
    """All that the screens show of that minute. Raises as QuestionsClient.ask does."""

    def ask(question: str, minutes: int | None = None) -> Rows:
        since = None if minutes is None else spelled(at - timedelta(minutes=minutes))
        return client.ask(question, at=spelled(at), since=since).rows

    return Past(
        at=at,
        vitals=ask("vital_signs"),
        services=ask("service_minutes", SHOWN_MINUTES),
        groups=ask("lag_by_group", LATEST_MINUTES),
        partitions=ask("lag_by_partition", LATEST_MINUTES),
        replicas=ask("replicas", SHOWN_MINUTES),
        incidents=ask("incidents"),
        actions=ask("operator_actions"),
        topics=ask("events_by_topic_by_minute", SHOWN_MINUTES),
    )
