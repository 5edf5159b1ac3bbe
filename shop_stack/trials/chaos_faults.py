"""What may befall a running stack: each fault by name, done to real processes, files and records, and undone."""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from shop_stack.errors import ShopfloorError
from shop_stack.eventlog.interface import EventLog, Record, StoredRecord
from shop_stack.eventlog.opening import open_log
from shop_stack.events import CONTRACTS, CUSTOMERS, INVENTORY, ORDERS, PAYMENTS, SHIPPING
from shop_stack.provider.behaviour import BehaviourChange
from shop_stack.runtime.home_lock import holder
from shop_stack.trials.stand import Stand

BROKER_AWAY_S = 30.0
HANGS_S = 12.0
SLOW_S = 10.0
DISK_FULL_S = 5.0
SMALL_DISK = 4 << 30
_GROUPS = ("storefront", "customers", "catalog", "inventory", "orders", "payments", "shipping", "recommendations")
_ABOUT_ORDERS = (ORDERS.name, INVENTORY.name, PAYMENTS.name, SHIPPING.name)


@dataclass(frozen=True)
class Fault:
    """A fault: what happens, and `inflict`, which returns once the cause is over (its effects may last).

    When it starts the stack again itself, it answers the monotonic time at which the cause was over, before that.
    `logs` says on which log it can happen; `lacks` why it cannot on this stand (None: it can).
    """

    name: str
    what: str
    inflict: Callable[[Stand, random.Random], float | None]
    logs: tuple[str, ...] = ("embedded", "kafka")
    lacks: Callable[[Stand], str | None] = lambda stand: None


def _kill_replica(stand: Stand, chance: random.Random) -> None:
    pids = stand.pids(stand.runtime.observe(), _GROUPS)
    stand.kill(pids[chance.choice(sorted(pids))])


def _kill_part(name: str) -> Callable[[Stand, random.Random], None]:
    def kill(stand: Stand, _chance: random.Random) -> None:
        stand.kill(stand.pids(stand.runtime.observe(), (name,))[name])

    return kill


def _kill_supervisor(stand: Stand, _chance: random.Random) -> float:
    pid = holder(stand.home)
    assert pid is not None
    stand.kill(pid)
    killed_at = time.monotonic()
    _wait(lambda: not Path(f"/proc/{pid}").exists() or holder(stand.home) is None, 10.0)
    stand.up()
    return killed_at


def _kill_forkserver(stand: Stand, _chance: random.Random) -> None:
    """Replicas are children of the fork server: it is the parent of any of them."""
    any_replica = next(iter(stand.pids(stand.runtime.observe(), _GROUPS).values()))
    stand.kill(_parent(any_replica))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _stop_broker(stand: Stand, _chance: random.Random) -> None:
    assert stand.broker is not None
    stand.broker.stop()
    time.sleep(BROKER_AWAY_S)  # the fault itself: the broker is away for this long
    stand.broker.start()


def _lose_broker_data(stand: Stand, _chance: random.Random) -> float:
    assert stand.broker is not None
    stand.broker.stop()
    stand.broker.format()
    stand.broker.start()
    back_at = time.monotonic()
    stand.restart()
    return back_at


def _tear_log(stand: Stand, chance: random.Random) -> float:
    """The machine dies and the last frame of a topic's write-ahead log is torn: SQLite drops it silently."""
    stand.kill_everything()
    logs = [path for path in sorted(stand.home.log.rglob("*-wal")) if path.stat().st_size > 0]
    about_orders = [path for path in logs if any(name in path.name for name in _ABOUT_ORDERS)]
    torn = chance.choice(about_orders or logs)
    os.truncate(torn, torn.stat().st_size - 100)
    torn_at = time.monotonic()
    stand.up()
    return torn_at


def _fill_disk(stand: Stand, _chance: random.Random) -> None:
    ballast = stand.home.path / "ballast"
    try:
        _fill(ballast)
        time.sleep(DISK_FULL_S)  # the fault itself: the disk is full for this long
    finally:
        ballast.unlink(missing_ok=True)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def _small_disk(stand: Stand) -> str | None:
    found = os.statvfs(stand.home.path)
    if found.f_blocks * found.f_frsize <= SMALL_DISK:
        return None
    return "the home folder is not on a small file system of its own, and a shared disk is not filled for a trial"


def _hang(stand: Stand, chance: random.Random) -> None:
    """A replica hangs for longer than its lease lasts, then goes on: it must find itself fenced."""
    pids = stand.pids(stand.runtime.observe(), ("orders", "inventory", "payments"))
    pid = pids[chance.choice(sorted(pids))]
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(HANGS_S)  # the fault itself: it hangs for this long
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _slow_down(stand: Stand, chance: random.Random) -> None:
    """A consumer gets a seventh of its time, in turns far shorter than its lease; what it reads piles up."""
    pids = stand.pids(stand.runtime.observe(), ("inventory", "payments", "shipping", "analytics"))
    pid = pids[chance.choice(sorted(pids))]
    ends = time.monotonic() + SLOW_S
    with suppress(ProcessLookupError):
        while time.monotonic() < ends:
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(0.6)  # the fault itself: it stands still for this long
            finally:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)


def _repeat_records(stand: Stand, chance: random.Random) -> None:
    """Old records come again, as a relay sends them whose marks were lost."""
    with open_log(stand.settings) as log:
        for topic in _ABOUT_ORDERS:
            again = [Record(r.key, r.value, r.headers) for r in _last(log, topic) if chance.random() < 0.5]
            if again:
                log.append(topic, again)


def _mix_versions(stand: Stand, chance: random.Random) -> None:
    """Producers of other versions are at work: events come again as older and newer ones write them, and orders
    under way get events of a version that no consumer knows yet: what follows waits behind those.
    """
    with open_log(stand.settings) as log:
        _wait(lambda: any(log.ends(ORDERS.name)), 15.0)
        for topic in _ABOUT_ORDERS:
            records = [record for record in _last(log, topic) if record.key]
            again = [Record(r.key, _as_other(r.value, chance), r.headers) for r in records]
            unknown = chance.sample(records, min(3, len(records)))
            if again:
                log.append(topic, [*again, *(Record(r.key, _of_next_version(r.value)) for r in unknown)])


def _last(log: EventLog, topic: str) -> list[StoredRecord]:
    """The newest records of each partition, 60 at most, in order within each."""
    starts, ends = log.starts(topic), log.ends(topic)
    return [
        record
        for partition, (start, end) in enumerate(zip(starts, ends, strict=True))
        for record in log.read(topic, partition, max(start, end - 60), 60)
    ]


def _as_other(value: bytes, chance: random.Random) -> bytes:
    """An event as a newer producer writes it, with fields that nobody knows, or an older, without those that may lack.

    What an earlier trial has poisoned comes again as it is.
    """
    with suppress(msgspec.DecodeError):
        event = msgspec.json.decode(value, type=dict[str, Any])
        kind = CONTRACTS.get(event["type"])
        if chance.random() < 0.5:
            event["data"]["added_by_a_newer_version"] = event["addedattribute"] = "unknown here"
        elif kind is not None:
            needed = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
            event["data"] = {name: given for name, given in event["data"].items() if name in needed}
        return msgspec.json.encode(event)
    return value


def _of_next_version(value: bytes) -> bytes:
    """An event of the next version, by a producer that has no outbox here."""
    with suppress(msgspec.DecodeError):
        event = msgspec.json.decode(value, type=dict[str, Any])
        stem, _, number = event["type"].rpartition(".v")
        next_one = f"{stem}.v{int(number) + 1}"
        return msgspec.json.encode(event | {"id": str(uuid4()), "source": "/elsewhere", "type": next_one})
    return value


def _poison(stand: Stand, chance: random.Random) -> None:
    """Records that nobody can handle: no JSON and a version of the future on keys of their own, no JSON on an order."""
    with open_log(stand.settings) as log:
        _wait(lambda: any(log.ends(ORDERS.name)), 15.0)
        for topic in (ORDERS.name, PAYMENTS.name, CUSTOMERS.name):
            own = f"poison-{chance.randrange(10**9)}"
            log.append(topic, [Record(own, b"{no json"), Record(None, b"\xff\xfe"), *_newer(log, topic, own)])
        key = _some_order(log.read(ORDERS.name, _fullest(log.ends(ORDERS.name)), 0, 500), chance)
        log.append(ORDERS.name, [Record(key, b"{no json either")])


def _newer(log: EventLog, topic: str, key: str) -> list[Record]:
    """An event of this topic once more, under its own id, as a version that no service knows."""
    if not any(log.ends(topic)):
        return []
    partition = _fullest(log.ends(topic))
    for record in log.read(topic, partition, log.starts(topic)[partition], 50):
        with suppress(msgspec.DecodeError):
            event = msgspec.json.decode(record.value, type=dict[str, Any])
            event["type"] = f"{event['type'].rpartition('.')[0]}.v99"
            return [Record(key, msgspec.json.encode(event))]
    return []


def _fullest(ends: list[int]) -> int:
    return max(range(len(ends)), key=ends.__getitem__)


def _some_order(records: Sequence[StoredRecord], chance: random.Random) -> str | None:
    keys = sorted({record.key for record in records if record.key})
    return chance.choice(keys) if keys else None


def _lose_answers(stand: Stand, _chance: random.Random) -> None:
    """The payment provider acts and its answers are lost, outcomes are told twice; for eight seconds."""
    _behave(stand, BehaviourChange(lost_rate=0.5, callback_rate=1.0, duplicate_rate=0.5, slow_rate=0.2))
    try:
        time.sleep(8.0)  # the fault itself: the provider behaves so for this long
    finally:
        _behave(stand, BehaviourChange(lost_rate=0.0, callback_rate=0.0, duplicate_rate=0.0, slow_rate=0.0))


def _behave(stand: Stand, change: BehaviourChange) -> None:
    host, port = stand.settings.place("provider")
    body = msgspec.json.encode(change)
    answer = httpx.post(f"http://{host}:{port}/behaviour", content=body, timeout=5.0, trust_env=False,
                       headers={"content-type": "application/json"})  # fmt: skip
    answer.raise_for_status()


def _rolling_restart(stand: Stand, _chance: random.Random) -> None:
    for group in stand.runtime.observe().groups:
        stand.runtime.restart(group.name)


def _scale(stand: Stand, chance: random.Random) -> None:
    group = chance.choice(("orders", "payments", "inventory"))
    stand.runtime.scale(group, 4)
    stand.runtime.scale(group, 1)


def _wait(condition: Callable[[], bool], timeout_s: float) -> None:
    ends = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > ends:
            raise ShopfloorError(f"what the fault waits for did not come within {timeout_s:g} s")
        time.sleep(0.1)


def _own_broker(stand: Stand) -> str | None:
    return None if stand.broker is not None else "the broker is not this trial's own; see: make soak"


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("none", "nothing: the measure of all others", lambda stand, chance: None),
        Fault("kill-replica", "kill -9 of a replica of any service", _kill_replica),
        Fault("kill-gateway", "kill -9 of Envoy, mid-checkout", _kill_part("gateway")),
        Fault("kill-analytics", "kill -9 of analytics, mid-ingest", _kill_part("analytics")),
        Fault("kill-operations", "kill -9 of operations", _kill_part("operations")),
        Fault("kill-provider", "kill -9 of the payment provider", _kill_part("provider")),
        Fault("kill-forkserver", "kill -9 of the process that starts replicas", _kill_forkserver),
        Fault("kill-supervisor", "kill -9 of the supervisor, then `up`", _kill_supervisor),
        Fault("rolling-restart", "every group restarted by SIGTERM, one after another", _rolling_restart),
        Fault("scale-1-4-1", "a service scaled to four and back", _scale),
        Fault("hang", "a replica hangs for longer than its lease", _hang),
        Fault("slow-consumer", "a consumer gets a seventh of its time for ten seconds", _slow_down),
        Fault("repeats", "records come again", _repeat_records),
        Fault("versions", "events of older, newer and unknown versions are mixed", _mix_versions),
        Fault("poison", "records that nobody can handle, one of them on an order", _poison),
        Fault("lost-answers", "the provider's answers are lost, its callbacks doubled", _lose_answers),
        Fault("disk-full", "the disk is full for five seconds", _fill_disk, lacks=_small_disk),
        Fault("torn-log", "the machine dies and a topic's last frame is torn, then `up`", _tear_log, ("embedded",)),
        Fault("broker-away", "the broker is stopped for 30 s", _stop_broker, ("kafka",), _own_broker),
        Fault("broker-lost", "the broker's data is lost, then `up`", _lose_broker_data, ("kafka",), _own_broker),
    )
}
