-- one row when the edges do not sum to the events whose cause is here
with
effects as (
    select count(*) as events
    from every_event
    where not repeat
        and type in (select type from stg_flow_types)
        and time_ordered(case when type like 'shop.dead-letter.%' then data -> 'origin' ->> 'event_id' else causation_id end)
),
waiting as (select cause, sum(events) as events from event_edges where source is null group by cause),
came as (
    select coalesce(sum(w.events), 0) as events
    from every_event as c
    inner join waiting as w on hash(c.id) = w.cause
    where not c.repeat and c.type in (select type from stg_flow_types)
),
summed as (
    select coalesce(sum(events), 0) as events
    from (select events from event_edges where source is not null union all select events from late_edges)
)
select
    effects.events as with_cause,
    (select coalesce(sum(events), 0) from waiting) - came.events as of_unknown_cause,
    summed.events as on_edges
from effects, came, summed
where with_cause <> of_unknown_cause + on_edges
