-- one row per product in stock or sold out, the shortest cover first
with
levels as (
    select * from stock_levels
    where $product_id is null or product_id = $product_id
    qualify row_number() over (partition by product_id order by version desc nulls last, changed_at desc) = 1
),
spans as (select date_trunc('hour', $at) - interval 28 days as from_28, date_trunc('hour', $at) - interval 7 days as from_7),
recent as (select minute, product_id, units, from_7 from units_hours, spans where minute >= from_28 and minute < $at),
-- a shop younger than a span is asked over its own days: from its first sale in it on, at least one
days as (
    select
        greatest(1, epoch($at - greatest(from_7, min(minute))) / 86400) as days_7,
        greatest(1, epoch($at - min(minute)) / 86400) as days_28
    from recent
    group by from_7
),
rates as (
    select
        product_id,
        coalesce(sum(units) filter (where minute >= from_7), 0) / any_value(days_7) as sold_per_day_7,
        sum(units) / any_value(days_28) as sold_per_day_28
    from recent, days
    group by product_id
)
select
    l.product_id,
    coalesce(p.name, l.product_id) as name,
    l.available,
    l.reserved,
    l.sold,
    coalesce(r.sold_per_day_7, 0) as sold_per_day_7,
    coalesce(r.sold_per_day_28, 0) as sold_per_day_28,
    case when l.available = 0 then 0 else l.available / nullif(coalesce(nullif(sold_per_day_7, 0), sold_per_day_28), 0) end as days_of_cover,
    case
        when l.available = 0 then 'sold out'
        when coalesce(r.sold_per_day_7, 0) > 0 then 'at the rate of the last 7 days'
        when coalesce(r.sold_per_day_28, 0) > 0 then 'at the rate of the last 28 days: none was sold in the last 7'
        else 'none was sold in the last 28 days'
    end as said,
    l.changed_at
from levels as l
left join rates as r on l.product_id = r.product_id
left join (select product_id, arg_max(name, added_at) as name from products group by product_id) as p
    on l.product_id = p.product_id
order by days_of_cover nulls last, l.product_id
