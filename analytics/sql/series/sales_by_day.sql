-- one row per business day and kind of history: the shop here (live and simulated), until yesterday, or imported
select
    timezone($zone, timezone('UTC', minute))::date as day,
    origin = 'imported' as imported,
    sum(orders)::double as orders,
    sum(revenue_minor)::double as revenue,
    bool_or(origin = 'simulated') as simulated,
    bool_or(origin = 'live') as live
from sales_minutes
where origin = 'imported' or minute < $day_start
group by all
order by imported, day
