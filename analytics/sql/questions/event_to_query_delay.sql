-- one row per minute: from an event's own time to its commit here, read off buckets 5% wide
with
buckets as (
    select minute, bucket, sum(events) as events
    from delay_buckets
    where minute >= $since and minute < $until
    group by minute, bucket
),
ranked as (
    select
        minute,
        pow(1.05, bucket + 0.5) as delay_ms,
        sum(events) over (partition by minute order by bucket) as up_to,
        sum(events) over (partition by minute) as total
    from buckets
)
select
    minute,
    max(total)::bigint as events,
    min(delay_ms) filter (where up_to >= 0.5 * total) as median_ms,
    min(delay_ms) filter (where up_to >= 0.95 * total) as p95_ms,
    min(delay_ms) filter (where up_to >= 0.99 * total) as p99_ms
from ranked
group by minute
order by minute
