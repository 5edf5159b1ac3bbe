"""What the tests of the marts share: answers that are the same however and whenever events came into the marts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analytics.marts import MARTS
from analytics.rebuilding import rebuild
from shop_stack.envelope import Envelope, encode
from shop_stack.eventlog.interface import Record
from shop_stack.events import Event
from shop_stack.ids import uuid7
from tests.analytics_stand import NOW, Stand

Asked = Mapping[str, Mapping[str, str]]
Answers = dict[str, list[dict[str, Any]]]
Sent = tuple[str, Record]
_BEGINNING = datetime(1970, 1, 1)  # noqa: DTZ001 (the warehouse keeps UTC without a zone)


def sent(
    event: Event,
    at: datetime = NOW,
    source: str = "/tests",
    cause: str | None = None,
    sequence: int | None = None,
    identifier: str | None = None,
) -> Sent:
    """An event as it was published, by whom and led to by what; its first field is its subject."""
    subject = str(getattr(event, event.__struct_fields__[0]))
    envelope = Envelope(
        id=identifier or uuid7(at),
        source=source,
        subject=subject,
        time=at,
        causationid=cause,
        sequence=sequence,
        data=event,
    )
    return event.topic.name, Record(key=subject, value=encode(envelope))


def answers(made: Stand, asked: Asked) -> Answers:
    """What each of these questions says, asked with its parameters."""
    return {name: made.ask(name, **given) for name, given in asked.items()}


def lived(made: Stand, asked: Asked) -> Stand:
    """The stand after what a home goes through; the questions say the same and the checks nothing at each step."""
    said = answers(made, asked)
    for step in (_nothing, _rolled_up, _compacted, _of_earlier_version, _rolled_up, _rebuilt):
        made = step(made)
        assert answers(made, asked) == said, step
        _check(made)
    return made


def told(folder: Path, came: Sequence[Sent], asked: Asked, now: datetime = NOW) -> Answers:
    """What the questions say after all this was sent: the same for all at once, each alone, and each alone backwards.

    Backwards by subject: what the log promises, and no more, is the order within one. Each event is sent twice, and
    the second one is a repeat.
    """
    whole = Stand(folder / "whole")
    for topic, record in [*came, *came]:
        whole.log.append(topic, [record])
    whole.catch_up()
    whole.now = now
    said = answers(whole, asked)
    lived(whole, asked).close()
    subjects = reversed(dict.fromkeys(record.key for _, record in came))
    backwards = [one for subject in subjects for one in came if one[1].key == subject]
    for name, order in (("one by one", list(came)), ("backwards", backwards)):
        made = Stand(folder / name)
        made.now = now
        for topic, record in order:
            made.log.append(topic, [record, record])
            made.catch_up()
            made.ingest.roll_up()
        _check(made)
        assert answers(made, asked) == said, name
        (lived(made, asked) if name == "backwards" else made).close()
    return said


def _check(made: Stand) -> None:
    """The books are right; the samples may be old, so that their freshness is judged at the time of the newest one."""
    sql = "select max(event_time) from partition_positions where topic = 'ops.samples'"
    [(newest,)] = made.warehouse.ask(sql, {}).rows
    made.check(None if newest is None else newest.replace(tzinfo=UTC))


def _nothing(made: Stand) -> Stand:
    return made


def _rolled_up(made: Stand) -> Stand:
    made.ingest.roll_up()
    return made


def _compacted(made: Stand) -> Stand:
    with made.warehouse.transaction():
        made.warehouse.compact(_BEGINNING)
    return made


def _of_earlier_version(made: Stand) -> Stand:
    """Opened again as one that has none of the marts yet."""
    for mart in MARTS:
        made.warehouse.write(f"drop view {mart}")
        made.warehouse.write(f"drop view fresh_{mart}")
        made.warehouse.write(f"drop table kept_{mart}")
    made.warehouse.write("update rolled_up set marts = 'of an earlier version'")
    made.warehouse.close()
    return _again(made)


def _rebuilt(made: Stand) -> Stand:
    made.warehouse.close()
    done = rebuild(made.folder / "warehouse.duckdb", made.log)
    assert (done.swapped, done.differences, done.compared) == (True, [], None)
    return _again(made)


def _again(made: Stand) -> Stand:
    made.log.close()
    again = Stand(made.folder)
    again.now = made.now
    return again
