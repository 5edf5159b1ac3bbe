-- one row per hour, service and origin: the minutes of a rollup added up, and of what is a state the last and the largest
select
    date_trunc('hour', p.minute) as minute,
    service,
    origin,
    sum(seconds) as seconds,
    sum(requests) as requests,
    sum(errors) as errors,
    sum(p95_weighted) as p95_weighted,
    sum(p95_requests) as p95_requests,
    arg_max(ready, p.ready_at) as ready,
    max(p.ready_at) as ready_at,
    max(lag) as lag,
    max(lag_s) as lag_s,
    max(orders_waiting) as orders_waiting,
    max(waiting_minor) as waiting_minor,
    sum(cpu_seconds) as cpu_seconds
from kept_service_parts as p
where date_trunc('hour', p.minute) in (from coarse_hours)
group by all
