-- one row per hour, product and origin and rollup; summed: units of orders not rejected or cancelled, by the hour placed
with moved as (
    select placed_at, origin, line.product_id, line.quantity as units
    from (select placed_at, origin, unnest(lines) as line from stg_order_lines)
    union all
    select l.placed_at, l.origin, l.product_id, -l.quantity
    from stg_order_ends as e
    inner join order_lines as l on e.order_id = l.order_id
    where e.state <> 'completed' and l.origin = 'live'
)
select date_trunc('hour', placed_at) as minute, product_id, origin, sum(units)::bigint as units
from moved
group by all
