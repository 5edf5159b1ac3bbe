-- one row per minute and origin and rollup; summed: orders placed and not rejected or cancelled, by the minute placed
with
placed as (
    select placed_at, 'live' as origin, 1 as orders, total_minor from stg_orders_placed
    union all
    select placed_at, origin, 1, total_minor from stg_past_orders
),
called_off as (
    select o.placed_at, 'live' as origin, -1 as orders, -o.total_minor
    from stg_order_ends as e
    inner join orders_placed as o on e.order_id = o.order_id
    where e.state <> 'completed'
    union all
    -- an order may come after its end: the topics are read apart
    select o.placed_at, 'live', -1, -o.total_minor
    from stg_orders_placed as o
    inner join kept_order_ends as e on o.order_id = e.order_id
    where e.state <> 'completed'
)
select
    date_trunc('minute', placed_at) as minute,
    origin,
    sum(orders)::bigint as orders,
    sum(total_minor)::bigint as revenue_minor
from (select * from placed union all select * from called_off)
group by all
