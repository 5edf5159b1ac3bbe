-- one row per minute and service
select
    minute,
    service,
    any_value(process_group) as "group",
    arg_max(wanted, sampled_at) as wanted,
    arg_max(ready, sampled_at) as ready,
    min(least_ready) as least_ready,
    max(most_ready) as most_ready,
    sum(ready_seconds) / nullif(sum(seconds), 0) as mean_ready,
    sum(short_seconds) as short_seconds,
    minute < $minute as complete
from replica_minutes
where minute >= $since and minute < $until and ($service is null or service = $service)
group by minute, service
order by minute, service
