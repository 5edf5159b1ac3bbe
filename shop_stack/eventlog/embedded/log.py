"""The embedded log: topics, groups and wake-up channels in one folder, opened by every process for itself."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote
from uuid import uuid4

from shop_stack.errors import LogUnavailable, UnknownTopic
from shop_stack.eventlog.embedded.consumer import (
    EmbeddedConsumer,
    append_message,
    read_append_message,
    type_channel,
)
from shop_stack.eventlog.embedded.group_file import GroupFile
from shop_stack.eventlog.embedded.topic_file import TopicFile
from shop_stack.eventlog.embedded.waking import Channels, Listener
from shop_stack.eventlog.interface import Backlog, Placed, Record, StoredRecord, Stretch, TopicPartition
from shop_stack.eventlog.records import check_sizes, partition_of
from shop_stack.events.topics import TOPICS, Topic

_LOOK_S = 1.0


class EmbeddedLog:
    """One log in a folder. Open it after a fork, not before.

    `lease_s`: a member that neither polls nor commits for so long is taken for hung and loses its partitions.
    `clock` gives the seconds since 1970 with which records are stamped.
    """

    def __init__(
        self,
        folder: Path,
        topics: Mapping[str, Topic] = TOPICS,
        lease_s: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._declared = topics
        self._lease_s = lease_s
        self._clock = clock
        try:
            (folder / "topics").mkdir(parents=True, exist_ok=True, mode=0o700)
            self._log_id = _read_or_make_id(folder)
            self._channels = Channels(folder / "wake")
        except OSError as error:
            raise LogUnavailable(f"cannot open the log in {folder}: {error.strerror}; mend the folder") from error
        self._opening = threading.Lock()
        self._topics: dict[str, TopicFile] = {}
        self._groups: dict[str, GroupFile] = {}
        self._consumers: list[EmbeddedConsumer] = []
        self._listeners: dict[int, Listener] = {}
        self._any = itertools.count()

    @property
    def log_id(self) -> str:
        """Names this log for ever; a stored position is only good with it."""
        return self._log_id

    def append(self, topic: str, records: Sequence[Record]) -> list[Placed]:
        """Store all records durably in one transaction, in the order given within a partition.

        Raises RecordTooLarge, UnknownTopic, LogUnavailable; nothing is stored then.
        """
        file = self._topic(topic)
        check_sizes(topic, records)
        if not records:
            return []
        count = file.partitions
        partitions = [next(self._any) % count if r.key is None else partition_of(r.key, count) for r in records]
        placed = file.append(records, partitions, int(self._clock() * 1000))
        self._tell(topic, records, placed)
        return placed

    def subscribe(self, group: str, topics: Sequence[str]) -> EmbeddedConsumer:
        """Join a group that shares the partitions of these topics. Raises UnknownTopic, ForeignLog, and the like."""
        for topic in topics:
            self._topic(topic)
        consumer = EmbeddedConsumer(self._log_id, self._group(group), topics, self._topic, self._channels)
        self._consumers.append(consumer)
        return consumer

    def read(self, topic: str, partition: int, position: int, max_records: int = 500) -> list[StoredRecord]:
        """Records from `position` on; empty at the end.

        Raises PositionPastEnd, PositionBelowStart, UnknownTopic, LogUnavailable.
        """
        return self._topic(topic).read(partition, position, max_records)

    def read_lines(self, topic: str, partition: int, position: int, max_records: int) -> Stretch:
        """Like `read`, with the values as one text and at most about 8 MiB of it. Raises like it."""
        return self._topic(topic).read_lines(partition, position, max_records)

    def wait(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until any of these partitions has records beyond the position given; False on time-out."""
        deadline = time.monotonic() + timeout_s
        listener = self._listener()
        for topic in {topic for topic, _ in ends}:
            listener.follow(topic)
        listener.hear(0)
        while not any(self._topic(topic).end(number) > end for (topic, number), end in ends.items()):
            look_again = time.monotonic() + _LOOK_S
            while (left := min(deadline, look_again) - time.monotonic()) > 0:
                for message in listener.hear(left):
                    if any(end > ends.get(p, end) for p, end in read_append_message(message).items()):
                        return True
            if time.monotonic() >= deadline:
                return False
        return True

    def news(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The ends of those partitions that do not end at the position given."""
        ends = {topic: self._topic(topic).ends() for topic in {topic for topic, _ in positions}}
        return {(t, number): ends[t][number] for (t, number), at in positions.items() if ends[t][number] != at}

    def topics(self) -> list[str]:
        return list(self._declared)

    def partitions(self, topic: str) -> int:
        return self._topic(topic).partitions

    def starts(self, topic: str) -> list[int]:
        """The first position kept of each partition."""
        return self._topic(topic).starts()

    def ends(self, topic: str) -> list[int]:
        """The position after the last record of each partition."""
        return self._topic(topic).ends()

    def noted_ends(self, topic: str) -> list[int]:
        """How far each partition had reached as far as was noted; beyond `ends` when the topic's file lost its tail."""
        return self._topic(topic).noted_ends()

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """The group's committed positions; empty for a group that nobody has joined."""
        if not self._group_folder(group).exists():
            return {}
        return {partition: position for partition, (position, _) in self._group(group).committed().items()}

    def groups(self) -> list[str]:
        """Every group that was ever joined."""
        folder = self._folder / "groups"
        return sorted(unquote(entry.name) for entry in folder.iterdir()) if folder.exists() else []

    def lag(self, group: str) -> dict[TopicPartition, int]:
        """Records between the group's committed position (or the start) and the end, by partition it subscribed."""
        if not self._group_folder(group).exists():
            return {}
        file = self._group(group)
        committed = file.committed()
        return {
            (topic, number): max(0, end - committed.get((topic, number), (start, ""))[0])
            for topic in file.topics()
            for number, (start, end) in enumerate(zip(self.starts(topic), self.ends(topic), strict=True))
        }

    def backlogs(self) -> dict[str, dict[TopicPartition, Backlog]]:
        """Of every group, by partition it subscribed, what it has still to process."""
        read = {name: (file.topics(), file.committed()) for name in self.groups() for file in [self._group(name)]}
        topics = {topic for subscribed, _ in read.values() for topic in subscribed}
        bounds = {topic: list(zip(self.starts(topic), self.ends(topic), strict=True)) for topic in topics}
        return {
            name: {
                (topic, number): Backlog(committed.get((topic, number), (start, ""))[0], end)
                for topic in subscribed
                for number, (start, end) in enumerate(bounds[topic])
            }
            for name, (subscribed, committed) in read.items()
        }

    def enforce_retention(self, now: datetime) -> int:
        """Remove records older than their topic keeps them; how many. Positions of the others do not change."""
        removed = 0
        for topic in self._declared.values():
            if topic.retention_days is not None:
                cutoff = now - timedelta(days=topic.retention_days)
                removed += self._topic(topic.name).remove_before(int(cutoff.timestamp() * 1000))
        return removed

    def close(self) -> None:
        """Leave all groups and close every file."""
        for consumer in self._consumers:
            consumer.close()
        with self._opening:
            for listener in self._listeners.values():
                listener.close()
            for group in self._groups.values():
                group.close()
            for topic in self._topics.values():
                topic.close()
            self._channels.close()
            self._listeners.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, topic: str, records: Sequence[Record], placed: Sequence[Placed]) -> None:
        """Wake those who follow the topic, and those who heed only the types of these records."""
        self._channels.send(topic, append_message(topic, {p.partition: p.position + 1 for p in placed}))
        for kind in dict.fromkeys(record.type for record in records):
            ends = {p.partition: p.position + 1 for p, r in zip(placed, records, strict=True) if r.type == kind}
            self._channels.send(type_channel(topic, kind), append_message(topic, ends))

    def _topic(self, name: str) -> TopicFile:
        file = self._topics.get(name)
        if file is None:
            declared = self._declared.get(name)
            if declared is None:
                raise UnknownTopic(f"topic {name!r} is not declared in events/topics.py; declare it there")
            with self._opening:
                path = self._folder / "topics" / f"{name}.db"
                file = self._topics.setdefault(name, TopicFile(path, name, declared.partitions))
        return file

    def _group(self, name: str) -> GroupFile:
        with self._opening:
            if name not in self._groups:
                partitions = {topic.name: topic.partitions for topic in self._declared.values()}
                self._groups[name] = GroupFile(self._group_folder(name), name, partitions, self._lease_s)
            return self._groups[name]

    def _group_folder(self, name: str) -> Path:
        return self._folder / "groups" / quote(name, safe="")

    def _listener(self) -> Listener:
        """The calling thread's own, kept for its next wait."""
        thread = threading.get_ident()
        with self._opening:
            if thread not in self._listeners:
                self._listeners[thread] = Listener(self._channels)
            return self._listeners[thread]


def _read_or_make_id(folder: Path) -> str:
    """The log's name from its folder; the first process to come writes it."""
    path = folder / "log_id"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        draft = folder / f"log_id.{uuid4().hex}"
        with draft.open("w") as file:
            file.write(f"embedded-{uuid4().hex}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first
        finally:
            draft.unlink()
        return path.read_text().strip()
