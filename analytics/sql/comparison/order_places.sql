-- one row: the orders, and what else events are correlated with
select 'all' as place, count(distinct order_key) as orders
from order_places
