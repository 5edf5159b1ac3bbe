-- one row per publisher, event, consumer and what it published in turn
with
edges as (
    select minute, source, type, consumer, led_to, bucket, events, retries from event_edges where source is not null
    union all
    select * from late_edges
),
buckets as (
    select source, type, consumer, led_to, bucket, sum(events) as events, sum(retries) as retries
    from edges
    where minute >= time_bucket(interval 5 minutes, $since) and minute < $until
    group by all
),
ranked as (
    select
        *,
        pow(1.1, bucket + 0.5) as delay_ms,
        sum(events) over (partition by source, type, consumer, led_to order by bucket) as up_to,
        sum(events) over (partition by source, type, consumer, led_to) as total
    from buckets
)
select
    source,
    type,
    consumer,
    led_to,
    max(total)::bigint as events,
    min(delay_ms) filter (where up_to >= 0.5 * total) as median_ms,
    min(delay_ms) filter (where up_to >= 0.95 * total) as p95_ms,
    coalesce(sum(retries), 0)::bigint as retries,
    case when led_to = 'shop.dead-letter.parked.v1' then max(total) else 0 end::bigint as dead_letters
from ranked
group by source, type, consumer, led_to
order by source, type, consumer, led_to
