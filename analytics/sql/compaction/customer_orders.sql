-- one row per minute, customer and origin since a time with orders left: the rows of several rollups added up
select minute, customer, origin, sum(orders)::bigint as orders, sum(revenue_minor)::bigint as revenue_minor
from kept_customer_orders
where minute >= $since
group by minute, customer, origin
having sum(orders) <> 0 or sum(revenue_minor) <> 0
