-- one row per minute, service and origin and rollup; sums over the seconds covered
with
live as (
    select
        date_trunc('minute', sampled_at) as minute,
        service,
        'live' as origin,
        sum(interval_s) as seconds,
        sum(request_rate * interval_s) as requests,
        sum(request_rate * interval_s * error_rate) as errors,
        sum(p95_ms * request_rate * interval_s) as p95_weighted,
        sum(request_rate * interval_s) filter (where p95_ms is not null) as p95_requests,
        arg_max(ready, sampled_at) as ready,
        max(sampled_at) as ready_at,
        max(lag) as lag,
        max(lag_s) as lag_s,
        max(orders_waiting) as orders_waiting,
        max(waiting_minor) as waiting_minor,
        sum(cpu_cores * interval_s) as cpu_seconds
    from stg_service_samples
    group by all
),
past as (
    select
        date_trunc('minute', minute_at) as minute,
        unnest(map_keys(requests)) as service,
        origin,
        60.0::double as seconds,
        unnest(map_values(requests)) as requests,
        errors,
        p95_ms
    from stg_past_minutes
)
select * from live
union all by name
select
    minute,
    service,
    origin,
    seconds,
    requests,
    coalesce(errors[service], 0) as errors,
    p95_ms[service] * requests as p95_weighted,
    case when p95_ms[service] is not null then requests end as p95_requests
from past
