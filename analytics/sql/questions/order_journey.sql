-- one row per event of an order, in the order in which they happened
with
places as materialized (select distinct batch, correlated from order_batches where order_hash = hash($order_id))
select
    time as at,
    type,
    source,
    sequence,
    id as event_id,
    causation_id,
    data
from (
    -- each condition by itself passes over the parts whose bounds exclude it; joined by `or` neither does
    select * from every_event
    where correlation_id = $order_id
        and batch in (select batch from places) and batch >= (select min(batch) from places)
    union all
    -- where there is none, the bound lies behind the last batch and nothing is read
    select * from every_event
    where subject = $order_id and correlation_id is distinct from $order_id
        and batch in (select batch from places where not correlated)
        and batch >= (select coalesce(min(batch), 9223372036854775807) from places where not correlated)
)
where not repeat and time < $as_of
order by time, source, sequence
