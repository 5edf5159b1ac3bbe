-- one row: the orders, and what else is a subject as orders are, with events about them that bear another correlation
select 'all' as place, count(distinct order_key) as orders
from order_mentions
