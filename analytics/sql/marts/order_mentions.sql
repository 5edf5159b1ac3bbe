-- one row per order (a 64-bit hash of its id) and batch with events about it that bear another correlation, and rollup
select hash(subject) as order_hash, batch
from fresh_events
where correlation_id is distinct from subject and about_an_order(type, subject)
group by all
