-- one row per five minutes, cause, effect and delay and rollup, summed; or one of unknown source, whose cause has not come
with
effects as materialized (select cause, happened_at, source, code, retries from stg_effects),
-- the larger side is read by the ids of the smaller one: of few, only the parts in which they can be
causes as materialized (
    select hash(id) as cause, time, source, type
    from every_event
    where id in (select cause from effects) and not repeat
),
-- hashes and codes from here on, no words: one rollup may have more than a hundred thousand, and little memory
known as materialized (select cause, time, source, code from causes inner join stg_flow_types using (type)),
edges as (
    select
        time_bucket(interval 5 minutes, e.happened_at) as minute,
        c.source,
        c.code,
        e.source as consumer,
        e.code as led_to,
        floor(ln(greatest(epoch_us(e.happened_at) - epoch_us(c.time), 1000) / 1000.0) / ln(1.1))::smallint as bucket,
        case when c.cause is null then hash(e.cause) end as cause,
        case when c.cause is null then e.happened_at end as waits_since,
        count(*) as events,
        sum(e.retries)::bigint as retries
    from effects as e
    left join known as c on hash(e.cause) = c.cause
    group by all
)
select
    e.minute, e.source, t.type, e.consumer, l.type as led_to, e.bucket, e.cause, e.waits_since, e.events, e.retries
from edges as e
left join stg_flow_types as t on e.code = t.code
left join stg_flow_types as l on e.led_to = l.code
