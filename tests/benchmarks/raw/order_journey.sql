-- one row per event of an order, in the order in which they happened
select time as at, type, source, sequence, id as event_id, causation_id, data
from every_event
where (correlation_id = $order_id or subject = $order_id) and not repeat
order by time, source, sequence, event_id
