-- one row per origin, week in which customers first ordered, and week from then on in which any of them ordered
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
weeks as (
    select quarter, date_trunc('week', timezone($zone, timezone('UTC', quarter)))::date as week
    from (select distinct quarter from kept)
),
firsts as (
    select k.customer, k.origin, min(w.week) as cohort
    from kept as k
    inner join weeks as w on k.quarter = w.quarter
    group by all
),
sizes as (select cohort, origin, count(*) as size from firsts group by all),
ordered as (
    select
        f.cohort,
        k.origin,
        w.week,
        count(distinct k.customer) as customers,
        sum(k.orders)::bigint as orders,
        sum(k.revenue_minor)::bigint as revenue_minor
    from kept as k
    inner join weeks as w on k.quarter = w.quarter
    inner join firsts as f on k.customer = f.customer and k.origin = f.origin
    where f.cohort >= date_trunc('week', timezone($zone, timezone('UTC', $since)))
    group by all
)
select
    o.origin,
    o.cohort as first_week,
    s.size as cohort_customers,
    (o.week - o.cohort) // 7 as weeks_later,
    o.customers,
    o.customers / s.size as share,
    o.orders,
    o.revenue_minor,
    o.week + 7 <= timezone($zone, timezone('UTC', $minute))::date as complete
from ordered as o
inner join sizes as s on o.cohort = s.cohort and o.origin = s.origin
order by o.origin, o.cohort, o.week
