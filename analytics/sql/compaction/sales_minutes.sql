-- one row per minute and origin since a time: the rows of several rollups added up
select minute, origin, sum(orders)::bigint as orders, sum(revenue_minor)::bigint as revenue_minor
from kept_sales_minutes
where minute >= $since
group by all
