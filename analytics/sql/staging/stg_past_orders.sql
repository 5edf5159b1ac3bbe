-- one row per fresh PastOrderRecorded: an order from before, imported or simulated
select
    time as placed_at,
    e.order_id,
    coalesce(e.origin, 'imported') as origin,
    e.total_minor,
    e.lines
from (
    select
        time,
        from_json(data, '{"order_id":"VARCHAR","origin":"VARCHAR","total_minor":"BIGINT","lines":[{"product_id":"VARCHAR","quantity":"BIGINT","unit_price_minor":"BIGINT"}]}') as e
    from fresh_events
    where type = 'shop.history.past-order-recorded.v1'
)
