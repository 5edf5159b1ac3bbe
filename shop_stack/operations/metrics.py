"""What operations knows of the whole stack, for Prometheus."""

from collections.abc import Iterable

from shop_stack.exposition import Sample, metric
from shop_stack.operations.model import GroupLag
from shop_stack.operations.sampling import Snapshot


def metrics_text(snapshot: Snapshot, lags: Iterable[GroupLag], open_incidents: int) -> str:
    """As last observed; no replica is counted while the runtime does not answer."""
    groups = snapshot.observation.groups if snapshot.observation is not None else ()
    parts = snapshot.observation.parts if snapshot.observation is not None else ()
    lags = list(lags)
    replicas = [(group, replica) for group in groups for replica in group.replicas]
    return "".join([
        metric("shopfloor_runtime_up", "gauge", "1 while the runtime answers.",
               [({}, float(snapshot.runtime_error is None and snapshot.observation is not None))]),
        metric("shopfloor_gateway_up", "gauge", "1 while the gateway tells its statistics.",
               [({}, float(snapshot.gateway_error is None and snapshot.at is not None))]),
        metric("shopfloor_replicas_desired", "gauge", "Replicas that are wanted of a process group.",
               [({"group": group.name}, group.desired) for group in groups]),
        metric("shopfloor_replicas_ready", "gauge", "Replicas of a process group that are ready.",
               [({"group": group.name}, sum(r.state == "ready" for r in group.replicas)) for group in groups]),
        metric("shopfloor_replica_memory_bytes", "gauge", "Memory of a replica.",
               [({"group": group.name, "replica": replica.name}, replica.memory_bytes) for group, replica in replicas]),
        metric("shopfloor_replica_cpu_seconds_total", "counter", "CPU seconds that a replica has used.",
               [({"group": group.name, "replica": replica.name}, replica.cpu_s) for group, replica in replicas]),
        metric("shopfloor_replica_restarts_total", "counter", "How often a replica has been started again.",
               [({"group": group.name, "replica": replica.name}, replica.restarts) for group, replica in replicas]),
        metric("shopfloor_part_up", "gauge", "1 while a part that is no service is ready.",
               [({"part": part.name}, float(part.state == "ready")) for part in parts]),
        metric("shopfloor_consumer_lag_events", "gauge", "Events that a consumer group has still to process.",
               _by_partition(lags)),
        metric("shopfloor_consumer_lag_seconds", "gauge", "Age of the oldest event that waits for a consumer group.",
               [({"consumer": lag.group}, lag.seconds) for lag in lags]),
        metric("shopfloor_consumer_orders_waiting", "gauge", "Orders with events that wait for a consumer group.",
               [({"consumer": lag.group}, lag.orders_waiting) for lag in lags]),
        metric("shopfloor_incidents_open", "gauge", "Incidents that are not resolved.", [({}, open_incidents)]),
    ])  # fmt: skip


def _by_partition(lags: Iterable[GroupLag]) -> list[Sample]:
    return [
        ({"consumer": lag.group, "topic": one.topic, "partition": str(one.partition)}, one.lag)
        for lag in lags
        for one in lag.partitions
    ]
