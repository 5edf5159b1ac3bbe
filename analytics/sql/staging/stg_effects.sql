-- one row per fresh event that an event led to: `cause` is its id; of a dead letter it is the event that was not handled
select *
from (
    select
        time as happened_at,
        source,
        code,
        case
            when type in ('shop.dead-letter.parked.v1', 'shop.dead-letter.replayed.v1') then data -> 'origin' ->> 'event_id'
            else causation_id
        end as cause,
        case when type = 'shop.dead-letter.parked.v1' then (data ->> 'attempts')::bigint - 1 end as retries
    from fresh_events
    inner join stg_flow_types using (type)
)
where time_ordered(cause)
