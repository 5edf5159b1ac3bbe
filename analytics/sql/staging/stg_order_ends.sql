-- one row per fresh event that ends an order
select
    time as ended_at,
    data ->> 'order_id' as order_id,
    case type
        when 'shop.order.completed.v1' then 'completed'
        when 'shop.order.rejected.v1' then 'rejected'
        else 'cancelled'
    end as state
from fresh_events
where type in ('shop.order.completed.v1', 'shop.order.rejected.v1', 'shop.order.cancelled.v1')
