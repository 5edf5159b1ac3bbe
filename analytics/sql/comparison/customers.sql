-- one row per origin: customers with orders, and these; and how many persons opened an account
select
    origin as place,
    count(distinct customer) as customers,
    sum(orders) as orders,
    sum(revenue_minor) as revenue_minor
from (
    select customer, origin, sum(orders) as orders, sum(revenue_minor) as revenue_minor
    from customer_orders
    group by customer, origin
    having sum(orders) > 0
)
group by origin
union all
select 'registered', count(distinct customer), count(*), null from customers_registered
