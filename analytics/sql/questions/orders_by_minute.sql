-- one row per minute and current state of the live orders placed in that minute
select
    date_trunc('minute', o.placed_at) as minute,
    coalesce(e.state, 'open') as state,
    count(*) as orders,
    sum(o.total_minor)::bigint as value_minor
from orders_placed as o
left join (
    select order_id, arg_min(state, ended_at) as state
    from order_ends
    where ended_at >= $since and ended_at < $as_of
    group by order_id
) as e on o.order_id = e.order_id
where o.placed_at >= $since and o.placed_at < $until
group by all
order by minute, state
