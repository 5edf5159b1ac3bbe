-- one row per business day and origin with orders placed and not rejected or cancelled
with
quarters as (
    select
        time_bucket(interval 15 minutes, minute) as quarter,
        origin,
        sum(orders) as orders,
        sum(revenue_minor) as revenue_minor
    from (
        select minute, origin, orders, revenue_minor from sales_minutes
        union all
        -- what was called off later had not been yet
        select date_trunc('minute', o.placed_at), 'live', 1, o.total_minor
        from order_ends as e
        inner join orders_placed as o on e.order_id = o.order_id
        where e.ended_at >= $as_of and e.state <> 'completed'
    )
    where minute >= $since and minute < $until and ($origin is null or origin = $origin)
    group by quarter, origin
),
days as (
    select
        timezone($zone, timezone('UTC', quarter))::date as day,
        origin,
        sum(orders)::bigint as orders,
        sum(revenue_minor)::bigint as revenue_minor
    from quarters
    group by day, origin
)
select
    day,
    origin,
    orders,
    revenue_minor,
    case when orders > 0 then revenue_minor / orders end as average_order_minor,
    day < timezone($zone, timezone('UTC', $minute))::date as complete
from days
order by day, origin
