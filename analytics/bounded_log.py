"""A log as it was when it had been read up to given positions: what was appended later is not there."""

from collections.abc import Mapping

from shop_stack.eventlog.interface import EventLog, StoredRecord, Stretch, TopicPartition


class BoundedLog:
    """What ingestion reads of a log, up to `bounds` (the next position of each partition; none: to its end)."""

    def __init__(self, log: EventLog, bounds: Mapping[TopicPartition, int] | None) -> None:
        self._log = log
        self._bounds = bounds

    @property
    def log_id(self) -> str:
        """That of the log itself."""
        return self._log.log_id

    def topics(self) -> list[str]:
        """All topics, also those that lie beyond the bounds."""
        return self._log.topics()

    def partitions(self, topic: str) -> int:
        """How many a topic has."""
        return self._log.partitions(topic)

    def starts(self, topic: str) -> list[int]:
        """The first position kept of each partition."""
        return self._log.starts(topic)

    def ends(self, topic: str) -> list[int]:
        """Where each partition ends within the bounds."""
        ends = self._log.ends(topic)
        if self._bounds is None:
            return ends
        return [min(end, self._bounds.get((topic, number), 0)) for number, end in enumerate(ends)]

    def news(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The ends of those partitions that reach beyond the position given."""
        ends = {(topic, number): end for topic in self.topics() for number, end in enumerate(self.ends(topic))}
        return {where: end for where, end in ends.items() if end > positions.get(where, 0)}

    def read(self, topic: str, partition: int, position: int, max_records: int = 500) -> list[StoredRecord]:
        """Records from `position` on, none beyond the bounds. Raises as the log does."""
        room = self._room(topic, partition, position, max_records)
        records = self._log.read(topic, partition, position, room) if room else []
        return [record for record in records if record.position < self._end(topic, partition)]

    def read_lines(self, topic: str, partition: int, position: int, max_records: int) -> Stretch:
        """Like `read`, for much at once."""
        room = self._room(topic, partition, position, max_records)
        if not room:
            return Stretch(topic, partition, [], b"")
        stretch = self._log.read_lines(topic, partition, position, room)
        if stretch.positions and stretch.positions[-1] >= self._end(topic, partition):
            return _joined(topic, partition, self.read(topic, partition, position, room))
        return stretch

    def _end(self, topic: str, partition: int) -> int:
        return self.ends(topic)[partition]

    def _room(self, topic: str, partition: int, position: int, most: int) -> int:
        return max(0, min(most, self._end(topic, partition) - position))


def _joined(topic: str, partition: int, records: list[StoredRecord]) -> Stretch:
    positions = [record.position for record in records]
    return Stretch(topic, partition, positions, b"\n".join(record.value for record in records))
