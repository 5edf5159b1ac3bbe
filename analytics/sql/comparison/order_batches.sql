-- one row: the orders, and other things that are a subject as orders are, of which there are events
select 'all' as place, count(distinct order_hash) as orders
from order_batches
