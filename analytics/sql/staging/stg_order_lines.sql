-- one row per fresh OrderPlaced or PastOrderRecorded, with its lines
select
    time as placed_at,
    case type when 'shop.order.placed.v1' then 'live' else coalesce(e.origin, 'imported') end as origin,
    e.order_id,
    e.lines
from (
    select
        time,
        type,
        from_json(data, '{"order_id":"VARCHAR","origin":"VARCHAR","lines":[{"product_id":"VARCHAR","quantity":"BIGINT","unit_price_minor":"BIGINT"}]}') as e
    from fresh_events
    where type in ('shop.order.placed.v1', 'shop.history.past-order-recorded.v1')
)
