-- one row per hour, product and origin and rollup; summed: units of orders not rejected or cancelled, by the hour placed
with
-- materialized, so that the few are held in memory and the many read past them
called_off as materialized (select order_id from stg_order_ends where state <> 'completed'),
moved as (
    select placed_at, origin, line.product_id, line.quantity as units
    from (select placed_at, origin, unnest(lines) as line from stg_order_lines)
    union all
    select l.placed_at, l.origin, l.product_id, -l.quantity
    from order_lines as l
    inner join called_off as c on l.order_id = c.order_id
    where l.origin = 'live'
    union all
    -- an order may come after its end: the topics are read apart
    select l.placed_at, l.origin, l.line.product_id, -l.line.quantity
    from (select placed_at, origin, order_id, unnest(lines) as line from stg_order_lines where origin = 'live') as l
    inner join kept_order_ends as e on l.order_id = e.order_id
    where e.state <> 'completed'
)
select date_trunc('hour', placed_at) as minute, product_id, origin, sum(units)::bigint as units
from moved
group by all
