-- one row per minute, service and origin
select
    minute,
    service,
    origin,
    60 * sum(requests) / nullif(sum(seconds), 0) as requests_per_minute,
    coalesce(sum(errors) / nullif(sum(requests), 0), 0) as error_rate,
    sum(p95_weighted) / nullif(sum(p95_requests), 0) as p95_ms,
    arg_max(ready, ready_at) as ready,
    max(lag) as lag,
    sum(cpu_seconds) / nullif(sum(seconds) filter (where cpu_seconds is not null), 0) as cpu_cores,
    minute < $minute as complete
from service_parts
where minute >= $since and minute < $until and ($service is null or service = $service)
group by minute, service, origin
order by minute, service, origin
