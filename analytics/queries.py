"""Operators' own statements: each in a child process, over copies of the relations that it names and nothing else.

The owner never parses a statement. The child, locked in before it reads it, parses and judges it and asks for columns;
the owner looks each of them up in the documented relations and streams bounded copies of one snapshot through the
child's stdin. So a child that was taken over could ask for nothing that the statement could not have named.
"""

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import IO

import msgspec
import pyarrow as pa

from analytics.asked import Job, Limits, Reply
from analytics.parsed import BadStatement
from analytics.relations import Relation, relations
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.errors import ShopfloorError

_AT_ONCE = 2
_LONGEST_REPLY = 64 * 1024
_FRAME = 64 * 1024  # what an answer has beside its rows: the statement, the watermark, the columns
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "LC_ALL": "C.UTF-8"}
# pyarrow imports both wherever they are, and neither is needed: 300 ms of CPU a statement.
_PROGRAM = """from analytics.lightness import keep_out
keep_out("numpy", "pandas")
from analytics.sandbox import main
main()"""
_LIMITS = Limits()
_reply = msgspec.json.Decoder(Reply).decode
log = logging.getLogger(__name__)


class Busy(ShopfloorError):
    """As many statements run as may at once."""


class Queries:
    """Runs statements for any thread, two at a time. Between statements it costs nothing: each has a new process."""

    def __init__(self, warehouse: Warehouse, watermark: Callable[[], object], limits: Limits = _LIMITS) -> None:
        self._warehouse = warehouse
        self._watermark = watermark
        self._limits = limits
        self._places = threading.Semaphore(_AT_ONCE)
        self._children: set[subprocess.Popen[bytes]] = set()
        self.threads = ThreadPoolExecutor(_AT_ONCE + 2, thread_name_prefix="query")

    def answer(
        self, sql: str, rows: int, arrow: bool, since: datetime | None = None, until: datetime | None = None
    ) -> bytes:
        """The answer's body: at most `rows` rows. `since` and `until` bound what is copied of relations with a time.

        Raises BadStatement, Busy, StatementTooSlow, WarehouseError.
        """
        if not self._places.acquire(blocking=False):
            raise Busy(f"{_AT_ONCE} statements are running, as many as may; try again in some seconds")
        try:
            watermark = msgspec.Raw(msgspec.json.encode(self._watermark()))
            job = Job(sql, rows, arrow, watermark, time.monotonic(), self._limits)
            with self._child(job.started + self._limits.seconds + 0.5) as child:
                return self._converse(child, job, {"since": _naive(since), "until": _naive(until)})
        finally:
            self._places.release()

    def close(self) -> None:
        """End the statements that run."""
        for child in list(self._children):
            child.kill()
        self.threads.shutdown(cancel_futures=True)

    @contextlib.contextmanager
    def _child(self, until: float) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-I", "-c", _PROGRAM]
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=_ENVIRONMENT, cwd="/")
        self._children.add(child)
        end = threading.Timer(max(0.0, until - time.monotonic()), child.kill)
        end.daemon = True
        end.start()
        try:
            yield child
        finally:
            end.cancel()
            child.kill()
            child.wait()
            self._children.discard(child)
            for stream in (child.stdin, child.stdout):
                with contextlib.suppress(OSError):
                    _open(stream).close()

    def _converse(self, child: subprocess.Popen[bytes], job: Job, span: Mapping[str, datetime | None]) -> bytes:
        source, sink = _open(child.stdout), _open(child.stdin)
        try:
            sink.write(msgspec.json.encode(job) + b"\n")
            sink.flush()
            needs = self._heard(source).needs
            self._copy(_known(needs), span, sink)
            sink.close()
            size = self._heard(source).size
            body = source.read(min(size, self._limits.answer_bytes + _FRAME))
        except (OSError, EOFError, msgspec.DecodeError):
            with contextlib.suppress(EOFError, msgspec.DecodeError):
                self._heard(source)  # what it said before it stopped listening
            raise self._why_it_ended(child, job) from None
        if len(body) != size:
            raise BadStatement("the answer is too large: ask for fewer rows or columns")
        return body

    def _heard(self, source: IO[bytes]) -> Reply:
        line = source.readline(_LONGEST_REPLY)
        if not line:
            raise EOFError
        reply = _reply(line)
        if reply.error:
            raise BadStatement(reply.error)
        return reply

    def _copy(
        self, needs: list[tuple[Relation, list[str]]], span: Mapping[str, datetime | None], sink: IO[bytes]
    ) -> None:
        """Stream the relations, one after another, all of one state. Raises BadStatement when they are too much."""
        rows, size = self._limits.copied_rows, self._limits.copied_bytes
        if not needs:
            return
        with self._warehouse.snapshot(self._limits.seconds) as read:
            for relation, columns in needs:
                sql = relation.copy_sql(columns, **span)
                reader = read(sql, {name: at for name, at in span.items() if f"${name}" in sql})
                with pa.ipc.new_stream(sink, reader.schema) as writer:
                    for batch in reader:
                        rows, size = rows - batch.num_rows, size - batch.nbytes
                        if rows < 0 or size < 0:
                            raise BadStatement(self._too_much(relation))
                        writer.write_batch(batch)

    def _too_much(self, relation: Relation) -> str:
        most = f"{self._limits.copied_rows:,} rows or {self._limits.copied_bytes >> 20} MiB"
        return f"the statement reads more than {most} (at {relation.name}); name fewer columns, or give since and until"

    def _why_it_ended(self, child: subprocess.Popen[bytes], job: Job) -> ShopfloorError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1.0)
        code = child.returncode
        late = time.monotonic() > job.started + self._limits.seconds
        if late or code in (-signal.SIGXCPU, -signal.SIGALRM):
            return BadStatement(f"the statement took longer than {self._limits.seconds:g} s")
        if code is not None and code < 0:
            most = f"{self._limits.memory_bytes >> 20} MiB"
            return BadStatement(f"the statement ended its process, most likely for want of memory ({most})")
        log.warning("the process of a statement ended with exit code %s", code)
        return WarehouseError("statements cannot be run now; analytics' log says why")


def _known(needs: Mapping[str, list[str]]) -> list[tuple[Relation, list[str]]]:
    """What the child asks for, in the words of the documented relations. Raises BadStatement for anything else."""
    found = relations()
    if any(name not in found or not set(columns) <= set(found[name].columns) for name, columns in needs.items()):
        raise BadStatement("the statement reads what is not among the documented relations")
    return [(found[name], columns) for name, columns in needs.items()]


def _naive(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise BadStatement(f"{moment} is beyond the times that the warehouse knows") from None


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
