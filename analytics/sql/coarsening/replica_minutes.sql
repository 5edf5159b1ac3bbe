-- one row per hour, service and process group: its minutes added up, of a state the least, the most and the last
select
    date_trunc('hour', r.minute) as minute,
    service,
    process_group,
    sum(seconds) as seconds,
    sum(ready_seconds) as ready_seconds,
    sum(wanted_seconds) as wanted_seconds,
    sum(short_seconds) as short_seconds,
    sum(cpu_seconds) as cpu_seconds,
    min(least_ready) as least_ready,
    max(most_ready) as most_ready,
    arg_max(ready, r.sampled_at) as ready,
    arg_max(wanted, r.sampled_at) as wanted,
    max(r.sampled_at) as sampled_at
from kept_replica_minutes as r
where date_trunc('hour', r.minute) in (from coarse_hours)
group by all
