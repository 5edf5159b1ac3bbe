-- one row per minute, customer and origin and rollup; summed: orders not rejected or cancelled, by the minute placed
with
-- materialized, so that the few are held in memory and the many read past them
called_off as materialized (select order_id from stg_order_ends where state <> 'completed'),
moved as (
    select placed_at, 'live' as origin, customer_id, 1 as orders, total_minor from stg_orders_placed
    union all
    select placed_at, origin, customer_id, 1, total_minor from stg_past_orders where customer_id is not null
    union all
    select o.placed_at, 'live', o.customer_id, -1, -o.total_minor
    from orders_placed as o
    inner join called_off as c on o.order_id = c.order_id
    union all
    -- an order may come after its end: the topics are read apart
    select o.placed_at, 'live', o.customer_id, -1, -o.total_minor
    from stg_orders_placed as o
    inner join kept_order_ends as e on o.order_id = e.order_id
    where e.state <> 'completed'
)
select
    date_trunc('minute', placed_at) as minute,
    hash(customer_id) as customer,
    origin,
    sum(orders)::bigint as orders,
    sum(total_minor)::bigint as revenue_minor
from moved
group by all
