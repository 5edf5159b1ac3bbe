-- one row per minute in which the sales by minute and the orders placed in it differ
with
kept as (
    select date_trunc('minute', placed_at) as minute, count(*) as orders, sum(total_minor) as revenue_minor
    from orders_placed
    where placed_at >= $since and placed_at < $until
        and order_id not in (
            select order_id from order_ends
            where state <> 'completed' and ended_at >= $since::timestamp - interval 1 hour
        )
    group by all
),
summed as (
    select minute, sum(orders) as orders, sum(revenue_minor) as revenue_minor
    from sales_minutes
    where origin = 'live' and minute >= $since and minute < $until
    group by all
)
select
    coalesce(k.minute, s.minute) as minute,
    coalesce(k.orders, 0) as orders,
    coalesce(s.orders, 0) as summed_orders,
    coalesce(k.revenue_minor, 0) as revenue_minor,
    coalesce(s.revenue_minor, 0) as summed_revenue_minor
from kept as k
full join summed as s on k.minute = s.minute
where coalesce(k.orders, 0) <> coalesce(s.orders, 0) or coalesce(k.revenue_minor, 0) <> coalesce(s.revenue_minor, 0)
