-- one row per five minutes, cause, effect and delay and rollup, summed: of causes that came after their effects
with came as materialized (
    select hash(id) as id_hash, source, type, time
    from fresh_events
    where type in (select type from stg_flow_types)
)
select
    e.minute,
    c.source,
    c.type,
    e.consumer,
    e.led_to,
    floor(ln(greatest(epoch_us(e.waits_since) - epoch_us(c.time), 1000) / 1000.0) / ln(1.1))::smallint as bucket,
    sum(e.events)::bigint as events,
    sum(e.retries)::bigint as retries
from kept_event_edges as e
inner join came as c on e.cause = c.id_hash
group by all
