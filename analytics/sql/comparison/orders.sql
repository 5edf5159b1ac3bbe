-- one row per state of the live orders: how many, and their worth
select coalesce(e.state, 'open') as place, count(*) as orders, sum(o.total_minor) as worth_minor
from orders_placed as o
left join order_ends as e on o.order_id = e.order_id
group by all
