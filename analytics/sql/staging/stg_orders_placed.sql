-- one row per fresh OrderPlaced
select
    time as placed_at,
    e.order_id,
    e.customer_id,
    hash(e.cart_id) as cart,
    e.total_minor
from (
    select
        time,
        from_json(data, '{"order_id":"VARCHAR","customer_id":"VARCHAR","cart_id":"VARCHAR","total_minor":"BIGINT"}') as e
    from fresh_events
    where type = 'shop.order.placed.v1'
)
