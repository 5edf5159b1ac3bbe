-- one row per difference between the sales by minute and the orders themselves
with
kept as (
    select count(*) as orders, coalesce(sum(total_minor), 0) as revenue_minor
    from orders_placed
    where order_id not in (select order_id from order_ends where state <> 'completed')
),
summed as (
    select coalesce(sum(orders), 0) as orders, coalesce(sum(revenue_minor), 0) as revenue_minor
    from sales_minutes
    where origin = 'live'
)
select kept.orders, summed.orders as summed_orders, kept.revenue_minor, summed.revenue_minor as summed_revenue_minor
from kept, summed
where kept.orders <> summed.orders or kept.revenue_minor <> summed.revenue_minor
