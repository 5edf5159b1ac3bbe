-- one row per event of an order, in the order in which they happened
select
    time as at,
    type,
    source,
    sequence,
    id as event_id,
    causation_id,
    data
from (
    -- each condition by itself passes over the parts of the archive whose bounds exclude it; joined by `or` neither does
    select * from every_event where correlation_id = $order_id
    union all
    select * from every_event where subject = $order_id and correlation_id is distinct from $order_id
)
where not repeat and time < $as_of
order by time, source, sequence
