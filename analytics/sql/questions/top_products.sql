-- one row per product and origin by units ordered in orders not rejected or cancelled
with
lines as (
    select l.*
    from order_lines as l
    left join (select order_id from order_ends where ended_at >= $since and ended_at < $as_of and state <> 'completed') as e
        on l.order_id = e.order_id
    where l.placed_at >= $since and l.placed_at < $until and e.order_id is null
),
chosen as (
    select coalesce(
        $origin,
        arg_min(origin, case origin when 'live' then 1 when 'imported' then 2 else 3 end)
    ) as origin
    from lines
)
select
    l.product_id,
    coalesce(any_value(p.name), l.product_id) as name,
    sum(l.quantity)::bigint as units,
    sum(l.quantity * l.unit_price_minor)::bigint as revenue_minor,
    count(distinct l.order_id) as orders,
    l.origin
from lines as l
inner join chosen as c on l.origin = c.origin
left join (select product_id, arg_max(name, added_at) as name from products where added_at < $as_of group by product_id) as p
    on l.product_id = p.product_id
group by l.product_id, l.origin
order by units desc, l.product_id
limit $limit
