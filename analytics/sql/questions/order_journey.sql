-- one row per event of an order, in the order in which they happened
with
-- the batches with events of it; of what is not rolled up yet the rows are asked, for that takes less than its mart
places as materialized (
    select distinct batch from kept_order_places where order_key = order_key($order_id)
    union all
    select distinct batch from fresh_rows where correlation_id = $order_id
),
mentions as materialized (
    select distinct batch from kept_order_mentions where order_key = order_key($order_id)
    union all
    select distinct batch from fresh_rows where subject = $order_id and correlation_id is distinct from $order_id
)
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
    select * from order_events where correlation_id = $order_id and batch in (select batch from places)
    union all
    -- about it, but with another correlation: nearly always there are none, and nothing is read
    select * from order_events
    where subject = $order_id and correlation_id is distinct from $order_id
        and batch in (select batch from mentions)
        and batch >= (select coalesce(min(batch), 9223372036854775807) from mentions)
)
where not repeat and time < $as_of
order by time, source, sequence, event_id
