-- one row per fresh StockLevelChanged: all units of a product as they were then, by version
select
    time as changed_at,
    sequence as version,
    e.product_id,
    e.available,
    e.reserved,
    e.sold
from (
    select time, sequence, from_json(data, '{"product_id":"VARCHAR","available":"BIGINT","reserved":"BIGINT","sold":"BIGINT"}') as e
    from fresh_events
    where type = 'shop.stock.level-changed.v1'
)
