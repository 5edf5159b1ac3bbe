-- one row per live order placed in the span: completed, rejected, cancelled or open
select
    o.order_id,
    coalesce(e.state, 'open') as state,
    o.total_minor,
    o.placed_at
from orders_placed as o
left join (select order_id, state from order_ends where ended_at < $as_of) as e on o.order_id = e.order_id
where o.placed_at >= $since and o.placed_at < $until
order by o.placed_at, o.order_id
