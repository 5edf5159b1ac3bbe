"""One consumer group in one SQLite file: its members, who owns which partition, and the committed positions."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from shop_stack.errors import Fenced
from shop_stack.eventlog.embedded.database import SharedDatabase
from shop_stack.eventlog.embedded.member import is_alive
from shop_stack.eventlog.embedded.sharing import share
from shop_stack.eventlog.interface import TopicPartition, check_log_id

_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL);
INSERT OR IGNORE INTO state (id, generation) VALUES (1, 0);
CREATE TABLE IF NOT EXISTS members (member TEXT PRIMARY KEY, topics TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (topic TEXT, partition INTEGER, member TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (topic TEXT, partition INTEGER, position INTEGER NOT NULL, log_id TEXT NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID
"""
_PUT_OWNER = "INSERT OR REPLACE INTO owners (topic, partition, member, since) VALUES (?, ?, ?, ?)"
_PUT_POSITION = "INSERT OR REPLACE INTO positions (topic, partition, position, log_id) VALUES (?, ?, ?, ?)"


class Share(msgspec.Struct, frozen=True):
    """A member's part in one generation of its group.

    `owned` maps a partition to the generation since which the member has it; `others` are the other members.
    """

    generation: int
    owned: dict[TopicPartition, int]
    others: list[str]


class GroupFile:
    """A group's state, changed by whichever member notices that it must be. Raises LogUnavailable.

    `partitions` maps each topic of the log to how many partitions it has.
    """

    def __init__(self, folder: Path, name: str, partitions: Mapping[str, int], lease_s: float) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = name
        self.members_folder = folder / "members"
        self._partitions = partitions
        self._lease_s = lease_s
        self._database = SharedDatabase(folder / "group.db", _SCHEMA, synchronous="NORMAL")

    def join(self, member: str, topics: Sequence[str]) -> None:
        """Add a member and share the partitions anew."""
        with self._database.write() as connection:
            row = (member, msgspec.json.encode(sorted(topics)).decode())
            connection.execute("INSERT OR REPLACE INTO members (member, topics) VALUES (?, ?)", row)
            self._settle(connection)

    def leave(self, member: str) -> None:
        """Take a member out and share its partitions among the others."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM members WHERE member = ?", (member,))
            self._settle(connection)

    def evict_dead(self) -> None:
        """Share anew among the members that are alive."""
        with self._database.write() as connection:
            self._settle(connection)

    def all_alive(self, members: Sequence[str]) -> bool:
        """Whether none of these members has died or hangs."""
        return all(is_alive(self.members_folder, member, self._lease_s) for member in members)

    def generation(self) -> int:
        """Counts the changes of members and owners."""
        return int(self._database.read("SELECT generation FROM state")[0][0])

    def share_of(self, member: str) -> Share | None:
        """The member's part; None when it was put out of the group."""
        rows = self._database.read(
            "SELECT s.generation, m.member, NULL, NULL, NULL FROM state s LEFT JOIN members m"
            " UNION ALL SELECT s.generation, NULL, o.topic, o.partition, o.since FROM state s, owners o"
            " WHERE o.member = ?",
            (member,),
        )
        members = [row[1] for row in rows if row[1] is not None]
        if member not in members:
            return None
        owned = {(row[2], row[3]): row[4] for row in rows if row[2] is not None}
        return Share(rows[0][0], owned, [m for m in members if m != member])

    def commit(
        self, member: str, since: Mapping[TopicPartition, int], positions: Mapping[TopicPartition, int], log_id: str
    ) -> None:
        """Store the positions of partitions that the member has had since the generations given.

        Raises Fenced naming the others, of which nothing is stored.
        """
        with self._database.write() as connection:
            query = "SELECT topic, partition, since FROM owners WHERE member = ?"
            owned = {(topic, number): begun for topic, number, begun in connection.execute(query, (member,))}
            mine = [p for p in positions if p in owned and owned[p] == since.get(p)]
            connection.executemany(_PUT_POSITION, [(*p, positions[p], log_id) for p in mine])
        lost = sorted(set(positions) - set(mine))
        if lost:
            named = ", ".join(f"{topic}/{number}" for topic, number in lost)
            raise Fenced(f"group {self.name}: {named} moved to another member; drop what was read of it and poll again")

    def committed(self) -> dict[TopicPartition, tuple[int, str]]:
        """Each committed position with the log_id it belongs to."""
        rows = self._database.read("SELECT topic, partition, position, log_id FROM positions")
        return {(topic, number): (position, log_id) for topic, number, position, log_id in rows}

    def position_of(self, partition: TopicPartition, log_id: str) -> int | None:
        """A committed position, None when there is none. Raises ForeignLog when it is of another log."""
        query = "SELECT position, log_id FROM positions WHERE topic = ? AND partition = ?"
        for position, stored_id in self._database.read(query, partition):
            check_log_id(stored_id, log_id, f"group {self.name}")
            return int(position)
        return None

    def topics(self) -> list[str]:
        """The topics that the group subscribed."""
        rows = self._database.read("SELECT topic FROM owners UNION SELECT topic FROM positions ORDER BY topic")
        return [topic for (topic,) in rows]

    def close(self) -> None:
        self._database.close()

    def _settle(self, connection: sqlite3.Connection) -> None:
        """Drop the dead, share the partitions among the rest and count a new generation."""
        members: dict[str, set[str]] = {}
        for member, topics in connection.execute("SELECT member, topics FROM members").fetchall():
            if is_alive(self.members_folder, member, self._lease_s):
                members[member] = set(msgspec.json.decode(topics, type=list[str]))
            else:
                connection.execute("DELETE FROM members WHERE member = ?", (member,))
                (self.members_folder / member).unlink(missing_ok=True)
        connection.execute("UPDATE state SET generation = generation + 1")
        (generation,) = connection.execute("SELECT generation FROM state").fetchone()
        rows = connection.execute("SELECT topic, partition, member FROM owners")
        previous = {(topic, number): member for topic, number, member in rows}
        topics = set(self._partitions).intersection(*[set.union(*members.values())] if members else [set()])
        partitions = [(topic, number) for topic in sorted(topics) for number in range(self._partitions[topic])]
        for partition, owner in share(members, partitions, previous).items():
            if previous.get(partition) != owner:
                connection.execute(_PUT_OWNER, (*partition, owner, generation))
