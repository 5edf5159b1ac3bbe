-- one row per business day and origin on which customers ordered or opened an account
with
kept as (
    select customer, origin, time_bucket(interval 15 minutes, minute) as quarter, sum(orders) as orders, sum(revenue_minor) as revenue_minor
    from (
        select minute, customer, origin, orders, revenue_minor from customer_orders
        union all
        -- what was called off later had not been yet
        select date_trunc('minute', o.placed_at), hash(o.customer_id), 'live', 1, o.total_minor
        from order_ends as e
        inner join orders_placed as o on e.order_id = o.order_id
        where e.ended_at >= $as_of and e.state <> 'completed'
    )
    where minute < $until and ($origin is null or origin = $origin)
    group by all
    having sum(orders) > 0
),
firsts as (select customer, origin, min(quarter) as first_quarter from kept group by all),
days as (
    select quarter, timezone($zone, timezone('UTC', quarter))::date as day
    from (select quarter from kept union select time_bucket(interval 15 minutes, registered_at) from customers_registered)
),
ordered as (
    select
        d.day,
        k.origin,
        count(distinct k.customer) as customers,
        count(distinct k.customer) filter (where f.day = d.day) as new_customers,
        sum(k.orders)::bigint as orders,
        sum(k.revenue_minor)::bigint as revenue_minor
    from kept as k
    inner join days as d on k.quarter = d.quarter
    inner join firsts as o on k.customer = o.customer and k.origin = o.origin
    inner join days as f on o.first_quarter = f.quarter
    where k.quarter >= $since
    group by all
),
registered as (
    select d.day, 'live' as origin, count(*) as registered
    from customers_registered as r
    inner join days as d on time_bucket(interval 15 minutes, r.registered_at) = d.quarter
    where r.registered_at >= $since and r.registered_at < $until and coalesce($origin, 'live') = 'live'
    group by all
)
select
    day,
    origin,
    coalesce(customers, 0) as customers,
    coalesce(new_customers, 0) as new_customers,
    coalesce(customers - new_customers, 0) as returning_customers,
    coalesce(orders, 0) as orders,
    coalesce(revenue_minor, 0) as revenue_minor,
    coalesce(registered, 0) as registered,
    day < timezone($zone, timezone('UTC', $minute))::date as complete
from ordered
full join registered using (day, origin)
order by day, origin
