-- one row per minute and service and rollup; the seconds are summed, the last of each is that of the latest sample
select
    date_trunc('minute', sampled_at) as minute,
    service,
    process_group,
    sum(interval_s) as seconds,
    sum(interval_s * ready) as ready_seconds,
    sum(interval_s * desired) as wanted_seconds,
    coalesce(sum(interval_s) filter (where ready < desired), 0) as short_seconds,
    coalesce(sum(interval_s * cpu_cores), 0) as cpu_seconds,
    min(ready) as least_ready,
    max(ready) as most_ready,
    arg_max(ready, sampled_at) as ready,
    arg_max(desired, sampled_at) as wanted,
    max(sampled_at) as sampled_at
from stg_service_samples
group by all
