-- one row when the live orders by customer do not sum to the live orders by minute
with
of_customers as (
    select coalesce(sum(orders), 0) as orders, coalesce(sum(revenue_minor), 0) as revenue_minor
    from customer_orders
    where origin = 'live' and minute >= $since and minute < $until
),
of_minutes as (
    select coalesce(sum(orders), 0) as orders, coalesce(sum(revenue_minor), 0) as revenue_minor
    from sales_minutes
    where origin = 'live' and minute >= $since and minute < $until
)
select c.orders, m.orders as by_minute, c.revenue_minor, m.revenue_minor as by_minute_minor
from of_customers as c, of_minutes as m
where c.orders <> m.orders or c.revenue_minor <> m.revenue_minor
