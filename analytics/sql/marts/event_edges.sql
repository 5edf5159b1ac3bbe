-- one row per five minutes, cause, effect and delay and rollup; sum the events. Delays are in buckets 10% wide
with
effects as materialized (select * from stg_effects),
pairs as (
    select c.source, c.type, e.source as consumer, e.type as led_to, c.time, e.happened_at, e.retries
    from every_event as c
    inner join effects as e on c.id = e.cause
    -- the bounds pass over the parts of the raw rows whose ids cannot match
    where c.id between (select min(cause) from effects) and (select max(cause) from effects) and not c.repeat
    union all
    select c.source, c.type, w.source, w.type, c.time, w.happened_at, w.retries
    from fresh_events as c
    inner join kept_effects_waiting as w on hash(c.id) = w.cause
)
select
    time_bucket(interval 5 minutes, happened_at) as minute,
    source,
    type,
    consumer,
    led_to,
    floor(ln(greatest(epoch_us(happened_at) - epoch_us(time), 1000) / 1000.0) / ln(1.1))::smallint as bucket,
    count(*) as events,
    sum(retries)::bigint as retries
from pairs
group by all
