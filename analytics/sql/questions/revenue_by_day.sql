-- one row per business day and origin with orders placed and not rejected or cancelled
select
    timezone($zone, timezone('UTC', minute))::date as day,
    origin,
    sum(orders)::bigint as orders,
    sum(revenue_minor)::bigint as revenue_minor,
    case when sum(orders) > 0 then sum(revenue_minor) / sum(orders) end as average_order_minor,
    timezone($zone, timezone('UTC', minute))::date < timezone($zone, timezone('UTC', $now))::date as complete
from sales_minutes
where minute >= $since and minute < $until and ($origin is null or origin = $origin)
group by all
order by day, origin
