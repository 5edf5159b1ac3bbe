-- one row per service and process group: seconds, those of its replicas, wanted and ready, and of CPU
select
    service || ' ' || process_group as place,
    sum(seconds) as seconds,
    sum(ready_seconds) as ready_seconds,
    sum(wanted_seconds) as wanted_seconds,
    sum(short_seconds) as short_seconds,
    sum(cpu_seconds) as cpu_seconds,
    max(most_ready) as most_ready
from replica_minutes
group by service, process_group
