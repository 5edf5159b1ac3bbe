-- one row when the edges do not sum to the events whose cause is here
with
effects as (
    select count(*) as events
    from every_event
    where not repeat
        and type in (select led_to from event_edges union select type from effects_waiting)
        and time_ordered(case when type like 'shop.dead-letter.%' then data -> 'origin' ->> 'event_id' else causation_id end)
),
waiting as (select count(*) as events from effects_waiting),
found_late as (
    select count(*) as events
    from every_event as c
    inner join effects_waiting as w on hash(c.id) = w.cause
    where not c.repeat
),
summed as (select coalesce(sum(events), 0) as events from event_edges)
select
    effects.events as with_cause,
    waiting.events - found_late.events as of_unknown_cause,
    summed.events as on_edges
from effects, waiting, found_late, summed
where with_cause <> of_unknown_cause + on_edges
