-- one row per order (its order_key) and batch with events about it that bear another correlation, and rollup
select order_key(subject) as order_key, batch
from fresh_events
where correlation_id is distinct from subject and about_an_order(type, subject)
group by all
