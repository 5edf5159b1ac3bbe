-- one row per origin: orders and revenue by minute, summed
select origin as place, sum(orders) as orders, sum(revenue_minor) as revenue_minor
from sales_minutes
group by origin
