-- one row per order (its order_key) and batch with events that bear its correlation, and rollup
select order_key(correlation_id) as order_key, batch
from fresh_events
where correlation_id is not null
group by all
