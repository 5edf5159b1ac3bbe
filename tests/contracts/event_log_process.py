"""A process of its own on a log under test: appends, or consumes and prints what it did, line by line."""

import sys
import time

from shop_stack.errors import Fenced
from shop_stack.eventlog.interface import Record
from shop_stack.events.topics import Topic
from tests.contracts.event_log_places import Log, open_at, positions_after


def say(*words: object) -> None:
    print(*words, flush=True)


def append_for(log: Log, topic: str, name: str, seconds: float) -> None:
    """Append single records from a common start on for so many seconds; print how many."""
    log.append(topic, [Record(name, b"first")])
    say("ready")
    sys.stdin.readline()
    count = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        log.append(topic, [Record(f"{name}-{count}", b"x" * 400)])
        count += 1
    say(count)


def append_stamped(log: Log, topic: str, count: int, every_s: float) -> None:
    """Append records whose value is the monotonic time of their appending."""
    log.append(topic, [Record("stamp", b"0")])
    say("ready")
    sys.stdin.readline()
    for _ in range(count):
        time.sleep(every_s)
        log.append(topic, [Record("stamp", str(time.monotonic_ns()).encode())])


def consume(log: Log, topic: str, group: str, patient: bool) -> None:
    """Consume and commit until killed; a patient one commits only what it had when told to by a line."""
    consumer = log.subscribe(group, [topic])
    ready = False
    while True:
        records = consumer.poll(timeout_s=0.2)
        if consumer.ready() and consumer.assignment() and not ready:
            ready = True
            say("ready")
        for record in records:
            say("got", record.partition, record.position, record.value.decode())
        if not records:
            continue
        if patient:
            say("holding")
            sys.stdin.readline()
        try:
            consumer.commit(positions_after(records))
            say("committed")
        except Fenced:
            say("fenced")


def main(role: str, address: str, topic: str, *rest: str) -> None:
    with open_at(address, [Topic(topic)]) as log:
        if role == "append":
            append_for(log, topic, rest[0], float(rest[1]))
        elif role == "stamp":
            append_stamped(log, topic, int(rest[0]), float(rest[1]))
        else:
            consume(log, topic, rest[0], patient=role == "patient")


if __name__ == "__main__":
    main(*sys.argv[1:])
