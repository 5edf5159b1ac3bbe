-- one row per product whose last level is not what was received until then: available, reserved and sold units
with
last as (
    select product_id, version, available + reserved + sold as units
    from stock_levels
    where version is not null
    qualify row_number() over (partition by product_id order by version desc) = 1
),
received as (
    select subject as product_id, sequence as version, (data ->> 'quantity')::bigint as units
    from every_event
    where type = 'shop.stock.received.v1' and not repeat
)
select l.product_id, l.version, l.units, coalesce(sum(r.units), 0) as received
from last as l
left join received as r on l.product_id = r.product_id and r.version < l.version
group by l.product_id, l.version, l.units
having received <> l.units
