"""Runs one statement of an operator in a process of its own that can open nothing, takes so much, and ends.

On stdin a job, then the copies that it asked for; on stdout its replies, then the answer as it is sent. Nothing of the
statement is read before the process has given up files, sockets and further processes, and has bounded its memory and
time: DuckDB's own settings leave DDL, DML and ATTACH ':memory:' open, and its memory limit is none for a string.
"""

import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import msgspec
import pyarrow as pa

from analytics.asked import Job, Reply
from analytics.encoding import Encoded, arrow, json
from analytics.parsed import BadStatement, computing, needed
from analytics.relations import relations

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "256MB",
    "temp_directory": "",
    "max_temp_directory_size": "0KB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
# Arrow has the first two with another value, and the others as bytes.
_UNSENT = re.compile(r"\b(UHUGEINT|TIME WITH TIME ZONE|BIT|VARIANT|GEOMETRY)\b")
Judge = Callable[[Any], dict[str, list[str]]]
# One of every way of reading that imports or opens something when it is first used.
_FIRST = """select now(), 1::decimal, uuid(), interval 1 day, [1], {'a': 1}, map {'a': 1}, date '2020-01-01',
    time '10:00', 'a'::blob, timestamp_ns '2020-01-01 00:00:00.000000001', 'infinity'::timestamp, '{}'::json,
    'a'::enum ('a'), union_value(a := 1), '10'::bit, '10:00:00+01'::timetz, 2::hugeint, 'nan'::double, null, n
from first where n > 1"""


def main() -> None:
    """Answer one job and exit."""
    os.nice(5)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    connection = _connect()
    functions = connection.execute("select function_name, function_type, stability from duckdb_functions()").fetchall()
    judge = partial(needed, known=relations(), functions=computing(functions))
    limits = job.limits
    no_memory = f"the statement needs more memory than its {limits.memory_bytes >> 20} MiB"
    last_words = msgspec.json.encode(Reply(error=no_memory)) + b"\n"  # made while there is memory to make them
    _watch(connection, job.started + limits.seconds - time.monotonic())
    _give_up(limits.memory_bytes, limits.seconds)
    try:
        encoded = _said(lambda: _answer(connection, job, judge), limits.seconds, no_memory)
        if isinstance(encoded, Encoded):
            _say(Reply(size=len(encoded.body), rows=encoded.rows), encoded.body)
        else:
            _say(Reply(error=encoded))
    except MemoryError:
        os.write(1, last_words)
    os._exit(0)


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config=_SETTINGS)
    connection.execute("set TimeZone = 'UTC'")
    # Without a file of its own a program counts as a session, for which a bar is drawn on stdout after two seconds.
    connection.execute("set enable_progress_bar = false")
    connection.register("first", pa.table({"n": [1, 2]}))
    relation = connection.sql(_FIRST)
    names, types = relation.columns, [str(kind) for kind in relation.types]
    with relation.to_arrow_reader(1) as batches:
        json(names, types, batches, 1, 1000, {})
    with connection.sql(_FIRST).to_arrow_reader(1) as batches:
        arrow(names, types, batches, 1, 1000, {})
    connection.unregister("first")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _watch(connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
    """Interrupt the statement in time; should that not help, or the owner be gone, the kernel ends the process."""
    watchdog = threading.Timer(max(0.05, seconds), connection.interrupt)
    watchdog.daemon = True
    watchdog.start()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(0.05, seconds) + 1.0)


def _give_up(memory_bytes: int, seconds: float) -> None:
    """From here on: no file, no socket, no process, and no more memory and CPU than this."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_AS, mapped + memory_bytes),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _said(answer: Callable[[], Encoded], seconds: float, no_memory: str) -> Encoded | str:
    try:
        return answer()
    except BadStatement as error:
        return str(error)
    except duckdb.InterruptException:
        return f"the statement took longer than {seconds:g} s"
    except (duckdb.OutOfMemoryException, MemoryError):  # Arrow's is a MemoryError too
        return no_memory
    except RecursionError:
        return "the statement is nested too deeply"
    except duckdb.Error as error:
        return next(iter(str(error).strip().splitlines()), "DuckDB refused the statement")


def _answer(connection: duckdb.DuckDBPyConnection, job: Job, judge: Judge) -> Encoded:
    """Parse, judge, ask for the copies, run. Raises BadStatement, duckdb.Error, MemoryError, RecursionError."""
    needs = _needs(connection, job.sql, judge)
    _say(Reply(needs=needs))
    copied: dict[str, int] = {}
    for name in needs:
        table = pa.ipc.open_stream(sys.stdin.buffer).read_all()
        copied[name] = table.num_rows
        connection.register(name, table)
    relation = connection.sql(job.sql)
    names, types = [str(name) for name in relation.columns], [str(kind) for kind in relation.types]
    for name, kind in zip(names, types, strict=True):
        if _UNSENT.search(kind):
            raise BadStatement(f"the column {name!r} is of a type that loses something on its way: cast it to VARCHAR")
    with relation.to_arrow_reader(256) as batches:
        encode = arrow if job.arrow else json
        told = {"sql": job.sql, "copied": copied, "watermark": job.watermark, "started": job.started}
        return encode(names, types, batches, job.rows, job.limits.answer_bytes, told)


def _needs(connection: duckdb.DuckDBPyConnection, sql: str, judge: Judge) -> dict[str, list[str]]:
    found = connection.extract_statements(sql)
    if len(found) != 1:
        raise BadStatement(f"one SELECT is answered, and this has {len(found)} statements")
    if found[0].type != duckdb.StatementType.SELECT:
        raise BadStatement(f"only a SELECT is answered, and this is {found[0].type.name.replace('_', ' ')}")
    rows = connection.execute("select json_serialize_sql($sql)", {"sql": sql}).fetchall()
    try:
        tree = msgspec.json.decode(rows[0][0])
    except msgspec.DecodeError as error:
        raise BadStatement(f"the statement cannot be read: {error}") from error
    return judge(tree)


def _say(reply: Reply, body: bytes = b"") -> None:
    out: BinaryIO = sys.stdout.buffer
    out.write(msgspec.json.encode(reply) + b"\n" + body)
    out.flush()
