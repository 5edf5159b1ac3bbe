"""Sends what analytics concludes back to the log as events, where it is kept for ever and read by all."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.events import CheckJudged, Event, ForecastMade, ReplicasAdvised
from shop_stack.events.topics import MODELS
from shop_stack.ids import uuid7

Advised = tuple[ForecastMade, ReplicasAdvised | None]


def publish(log: EventLog, advised: Sequence[Advised], now: datetime) -> None:
    """Append each forecast, and after it the advice that it led to, under the forecast's new id.

    Raises LogUnavailable; the next forecasts are then made in their turn.
    """
    records: list[Record] = []
    for forecast, advice in advised:
        identifier = uuid7(now)
        records.append(_record(msgspec.structs.replace(forecast, forecast_id=identifier), identifier, 1, None, now))
        if advice is not None:
            records.append(_record(advice, identifier, 2, identifier, now))
    if records:
        log.append(MODELS.name, records)


def publish_verdicts(log: EventLog, verdicts: Sequence[CheckJudged], now: datetime) -> None:
    """Append what the checks of the books have found, each under its check's name. Raises LogUnavailable."""
    records = [_record(verdict, verdict.check, None, None, now) for verdict in verdicts]
    if records:
        log.append(CheckJudged.topic.name, records)


def _record(event: Event, subject: str, sequence: int | None, cause: str | None, now: datetime) -> Record:
    envelope = Envelope(
        id=uuid7(now),
        source="/analytics",
        subject=subject,
        time=now,
        sequence=sequence,
        causationid=cause,
        data=event,
    )
    return Record(key=subject, value=encode(envelope))
