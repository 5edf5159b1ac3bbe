-- one row per fresh PastOrderRecorded: an order from before, imported or simulated
select
    time as placed_at,
    coalesce(e.origin, 'imported') as origin,
    e.customer_id,
    e.total_minor
from (
    select
        time,
        from_json(data, '{"origin":"VARCHAR","customer_id":"VARCHAR","total_minor":"BIGINT"}') as e
    from fresh_events
    where type = 'shop.history.past-order-recorded.v1'
)
