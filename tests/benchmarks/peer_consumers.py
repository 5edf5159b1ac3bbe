"""Other libraries' ways from Kafka into DuckDB; runs in an environment of its own, without the project.

`python peer_consumers.py NAME ADDRESS FOLDER EVENTS` reads so many events and prints a line of JSON. All write the same
typed rows and keep an event id once, by an anti-join within the transaction; each reads with the largest batches that
helped it, and none commits for an event. `python peer_consumers.py load ADDRESS FOLDER` fills the topics from files.
"""

import json
import os
import resource
import signal
import sys
import time
import zlib
from importlib.metadata import version
from pathlib import Path

TABLE = """create table if not exists events (topic varchar, partition smallint, position bigint, id varchar,
    source varchar, type varchar, subject varchar, time timestamp, sequence bigint, correlation_id varchar,
    causation_id varchar, data json)"""
KEEP = """insert into events
select distinct on (b.id) b.topic, b.partition, b.position, b.id, b.source, b.type, b.subject,
    b.time::timestamp, b.sequence, b.correlation_id, b.causation_id, b.data
from batch as b anti join events as e on b.id = e.id"""
NAMES = ("topic", "partition", "position", "id", "source", "type", "subject", "time", "sequence", "correlation_id",
         "causation_id", "data")  # fmt: skip
BATCH = 100_000
TOPICS = ("shop.behaviour", "shop.orders", "shop.inventory", "shop.payments", "shop.shipping", "shop.catalog",
          "ops.samples")  # fmt: skip


def row(topic, partition, position, event):
    """A typed row of a parsed event; its data as JSON text again."""
    get = event.get
    return (topic, partition, position, event["id"], event["source"], event["type"], get("subject"),
            event["time"].removesuffix("Z"), get("sequence"), get("correlationid"), get("causationid"),
            _json.dumps(event["data"]).decode())  # fmt: skip


def as_arrow(rows):
    """Rows as an Arrow table."""
    import pyarrow as pa

    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    return pa.table(dict(zip(NAMES, columns, strict=True)))


def keep(connection, rows):
    """Write rows in one transaction."""
    batch = as_arrow(rows)
    connection.register("batch", batch)
    connection.execute("begin")
    connection.execute(KEEP)
    connection.execute("commit")


def stoik(address, folder, events):
    """Its loop, its Kafka stream and its store; orjson in place of json. Its consumer commits by itself, on a timer."""
    from stoik.buffer import Buffer
    from stoik.loop import consume
    from stoik.storage.duckdb import Store
    from stoik.stream.kafka import KafkaMessage, KafkaStream

    class Rows(Buffer):
        def __init__(self):
            super().__init__()
            self.rows = []

        def add(self, one):
            self.rows.append(one)
            self._count += 1

        def drain(self):
            rows, self.rows, self._count = self.rows, [], 0
            return rows

    class Placed(KafkaMessage):  # the library hands on values alone; position and topic are part of the rows
        def value(self):
            m = self._msg
            return row(m.topic(), m.partition(), m.offset(), _json.loads(m.value()))

    class Placing(KafkaStream):
        def poll(self, batch_size, timeout):
            return [Placed(m._msg, None) for m in super().poll(batch_size, timeout)]

    buffer, seen = Rows(), [0]
    store = Store(str(folder / "stoik.duckdb"), snapshot=False)
    store.reconnect()
    store.write(lambda: store.conn.execute(TABLE))

    def parse(value):
        buffer.add(value)
        seen[0] += 1
        if seen[0] == events:
            os.kill(os.getpid(), signal.SIGTERM)

    def flush():
        rows = buffer.drain()
        store.write(lambda: keep(store.conn, rows))

    stream = Placing(address, f"stoik-{time.time()}")
    stream.subscribe(list(TOPICS))
    consume(stream, buffer, store, parse, flush, flush_interval=60.0, max_batch=BATCH)
    return folder / "stoik.duckdb"


def quixstreams(address, folder, events):
    """Its application with a batching sink that writes a checkpoint's rows; the position is committed after them."""
    import duckdb
    from quixstreams import Application
    from quixstreams.sinks import BatchingSink

    path = folder / "quixstreams.duckdb"
    connection = duckdb.connect(str(path), config={"threads": 1})
    connection.execute(TABLE)

    class Sink(BatchingSink):
        def write(self, batch):
            rows = [row(batch.topic, batch.partition, item.offset, _json.loads(item.value)) for item in batch]
            keep(connection, rows)

    app = Application(broker_address=address, consumer_group=f"quix-{time.time()}", auto_offset_reset="earliest",
                      commit_every=BATCH, commit_interval=60.0, loglevel="WARNING")  # fmt: skip
    sink = Sink()
    for name in TOPICS:
        app.dataframe(app.topic(name, value_deserializer="bytes", key_deserializer="bytes")).sink(sink)
    app.run(count=events)
    connection.close()
    return path


def datafun(address, folder, events):
    """Its consumer, a message a call, and its upsert, a statement a row; transactions of 100,000 rows around them."""
    import duckdb
    from confluent_kafka import Consumer
    from datafun_streaming.kafka.kafka_consumer_utils import consume_kafka_message
    from datafun_streaming.storage.duckdb_utils import upsert_row

    path = folder / "datafun.duckdb"
    connection = duckdb.connect(str(path), config={"threads": 1})
    consumer = Consumer({"bootstrap.servers": address, "group.id": f"datafun-{time.time()}",
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})  # fmt: skip
    consumer.subscribe(list(TOPICS))
    connection.execute("begin")
    for _ in range(events):
        event = None
        while event is None:
            event = consume_kafka_message(consumer=consumer, timeout_seconds=5.0)
        typed = row("", event["_kafka_partition"], event["_kafka_offset"], event)
        one = dict(zip(NAMES, typed, strict=True))
        upsert_row(connection, table="events", row=one, primary_key="id", allowed_tables=frozenset(["events"]))
    connection.execute("commit")
    connection.close()
    return path


def load(address, folder):
    """Produce the lines of FOLDER/TOPIC.tsv, a key and a value each, as the project would place them."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": address, "linger.ms": 50, "batch.size": 1_000_000, "acks": "all",
                         "enable.idempotence": True, "queue.buffering.max.messages": 1_000_000})  # fmt: skip
    sent = 0
    for path in sorted(folder.glob("*.tsv")):
        partitions = 1 if path.stem.startswith("ops.") else 6
        for line in path.open("rb"):
            key, _, value = line.rstrip(b"\n").partition(b"\t")
            producer.produce(path.stem, value=value, key=key, partition=zlib.crc32(key) % partitions)
            sent += 1
            if sent % 10_000 == 0:
                producer.poll(0)
    producer.flush()
    print(json.dumps({"loaded": sent}))


def main():
    """Run one and say what it took."""
    name, address, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if name == "load":
        load(address, folder)
        return
    import duckdb

    run = {"stoik": stoik, "quixstreams": quixstreams, "datafun-streaming": datafun}[name]
    events = int(sys.argv[4])
    usage, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    path = run(address, folder, events)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    with duckdb.connect(str(path)) as connection:
        kept = connection.execute("select count(*) from events").fetchone()[0]
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    versions = {one: version(one) for one in (name, "confluent-kafka", "duckdb")}
    print(json.dumps({"events": events, "rows": kept, "cpu_s": cpu, "wall_s": wall, "versions": versions}))


if __name__ == "__main__":
    import orjson as _json

    main()
