"""A member of a group on the embedded log."""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence

from shop_stack.eventlog.embedded.group_file import GroupFile, Share
from shop_stack.eventlog.embedded.member import Member
from shop_stack.eventlog.embedded.topic_file import READ_BYTES, TopicFile
from shop_stack.eventlog.embedded.waking import Channels, Listener
from shop_stack.eventlog.interface import StoredRecord, TopicPartition, check_position

_ATTEND_S = 1.0
_CROWD = 5  # so many messages at once may have filled the queue: some may be lost


def group_channel(group: str) -> str:
    """The channel that tells the members of a group that it has changed."""
    return f"group:{group}"[:48]


def type_channel(topic: str, kind: str | None) -> str:
    """The channel that tells of a topic's records of one type (None: appended without one); short enough for a socket.

    Two types that share it by chance wake each other's followers, no more.
    """
    return f"{topic}~{zlib.crc32(kind.encode()):08x}" if kind is not None else f"{topic}~"


def append_message(topic: str, ends: Mapping[int, int]) -> bytes:
    """What an append tells: the topic, then partition and new end of each partition that has grown."""
    return f"{topic} {' '.join(f'{partition}:{end}' for partition, end in ends.items())}".encode()


def read_append_message(message: bytes) -> dict[TopicPartition, int]:
    """The new ends by partition; empty for a message that is no append."""
    topic, *grown = message.decode().split(" ")
    return {(topic, int(partition)): int(end) for partition, _, end in (text.partition(":") for text in grown)}


class EmbeddedConsumer:
    """Reads its share of the group's partitions; once a second it looks after itself and the other members."""

    def __init__(
        self,
        log_id: str,
        group: GroupFile,
        topics: Sequence[str],
        open_topic: Callable[[str], TopicFile],
        channels: Channels,
    ) -> None:
        self._log_id = log_id
        self._group = group
        self._topics = list(topics)
        self._open_topic = open_topic
        self._channels = channels
        self._channel = group_channel(group.name)
        self._listener = Listener(channels)
        for channel in (self._channel, *topics):
            self._listener.follow(channel)
        self._share = Share(0, {}, [])
        self._next: dict[TopicPartition, int] = {}
        self._begun: dict[TopicPartition, int] = {}  # where each partition was resumed since it came to us
        self._hot: dict[TopicPartition, None] = {}  # partitions that may have records, the one to read first in front
        self._versions: dict[str, int] = {}
        self._attended = 0.0
        self._nudged = False
        self._closed = False
        self._join()

    def poll(self, max_records: int = 500, timeout_s: float = 1.0) -> list[StoredRecord]:
        """Records after the committed positions, in order within each partition; empty after `timeout_s`.

        Raises ForeignLog, PositionPastEnd, PositionBelowStart, LogUnavailable.
        """
        deadline = time.monotonic() + timeout_s
        self._note(self._listener.hear(0))
        while True:
            if time.monotonic() - self._attended >= _ATTEND_S:
                self._attend()
            if len(self._next) < len(self._share.owned):
                self._resume()
            records = self._take(max_records) if self._hot else []
            now = time.monotonic()
            if records or self._nudged or now >= deadline:
                self._nudged = False
                return records
            self._note(self._listener.hear(max(0.0, min(deadline, self._attended + _ATTEND_S) - now)))

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store the next position to read of each partition that is still ours; raises Fenced for the others."""
        if positions:
            self._member.renew()
            since = {p: self._share.owned[p] for p, at in positions.items() if at >= self._begun.get(p, at + 1)}
            self._group.commit(self._member.name, since, positions, self._log_id)

    def heed(self, types: Sequence[str]) -> None:
        """Wake at once for records of these types and those without one; what else came is read once a second."""
        for topic in self._topics:
            for kind in (None, *types):
                self._listener.follow(type_channel(topic, kind))
        for topic in self._topics:
            self._listener.leave(topic)
        self._attended = 0.0  # look for what came in between

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._share.owned)

    def ready(self) -> bool:
        return not self._closed and self._share.generation > 0 and len(self._next) == len(self._share.owned)

    def wake(self) -> None:
        """Make a waiting poll return now; callable from any thread."""
        self._listener.nudge()

    def close(self) -> None:
        """Leave the group; the others take over at once."""
        if self._closed:
            return
        self._closed = True
        try:
            self._group.leave(self._member.name)
        finally:
            self._member.close()
            self._listener.close()
        self._channels.send(self._channel, self._channel.encode())

    def _join(self) -> None:
        self._member = Member(self._group.members_folder)
        self._group.join(self._member.name, self._topics)
        self._channels.send(self._channel, self._channel.encode())
        self._refresh()

    def _note(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            if not message:
                self._nudged = True
            elif message.startswith(b"group:"):
                self._attended = 0.0
            else:
                for partition, end in read_append_message(message).items():
                    if end > self._next.get(partition, end):
                        self._hot[partition] = None
        if len(messages) >= _CROWD:
            self._attended = 0.0

    def _attend(self) -> None:
        """Renew the lease, look for members that died and for what no message told."""
        self._attended = time.monotonic()
        self._member.renew()
        if not self._group.all_alive(self._share.others):
            self._group.evict_dead()
            self._channels.send(self._channel, self._channel.encode())
        if self._group.generation() != self._share.generation:
            self._refresh()
        for topic in self._topics:
            version = self._open_topic(topic).version()
            if self._versions.get(topic) != version:
                self._versions[topic] = version
                self._hot.update(dict.fromkeys(p for p in self._next if p[0] == topic))

    def _refresh(self) -> None:
        share = self._group.share_of(self._member.name)
        if share is None:  # we hung beyond the lease and were put out
            self._member.close()
            self._share = Share(0, {}, [])
            self._join()
            return
        kept = {p for p, since in share.owned.items() if self._share.owned.get(p) == since}
        self._next = {p: position for p, position in self._next.items() if p in kept}
        self._begun = {p: position for p, position in self._begun.items() if p in kept}
        self._hot = {p: None for p in self._hot if p in kept}
        self._share = share

    def _resume(self) -> None:
        """Find where to read each partition that has come to us; until that succeeds every poll raises."""
        for partition in self._share.owned:
            if partition not in self._next:
                topic, number = partition
                file = self._open_topic(topic)
                position = self._group.position_of(partition, self._log_id)
                if position is None:
                    position = file.starts()[number]
                else:
                    check_position(partition, position, file.starts()[number], file.end(number))
                self._next[partition] = self._begun[partition] = position
                self._hot[partition] = None

    def _take(self, max_records: int) -> list[StoredRecord]:
        """Read the partitions in turn; one that gave less than it could is at its end until a message tells more."""
        records: list[StoredRecord] = []
        size = 0
        for partition in list(self._hot):
            wanted = max_records - len(records)
            found = self._open_topic(partition[0]).fetch(partition[1], self._next[partition], wanted)
            found_size = sum(len(record.value) for record in found)
            del self._hot[partition]
            if len(found) >= wanted or found_size >= READ_BYTES:
                self._hot[partition] = None
            if found:
                self._next[partition] = found[-1].position + 1
                records += found
                size += found_size
                if len(records) >= max_records or size >= READ_BYTES:
                    break
        return records
