-- one row per time that came: what was forecast for it first, and what it was
with
actuals as (
    select minute as due, sum(requests) * 60 / sum(seconds) as actual
    from service_parts
    where 'requests:' || service = $series and minute < $minute and origin = 'live'
    group by minute
    union all
    select
        timezone('UTC', timezone($zone, timezone($zone, timezone('UTC', minute))::date::timestamp)) as due,
        case $series when 'orders:day' then sum(orders) else sum(revenue_minor) end::double as actual
    from (
        select minute, origin, orders, revenue_minor from sales_minutes
        union all
        -- what was called off later had not been yet
        select date_trunc('minute', o.placed_at), 'live', 1, o.total_minor
        from order_ends as e
        inner join orders_placed as o on e.order_id = o.order_id
        where e.ended_at >= $as_of and e.state <> 'completed'
    )
    where $series in ('orders:day', 'revenue:day') and minute < $day_start and origin <> 'imported'
    group by due
),
first_said as (
    select p.at as due, p.mean, p.low80, p.high80, p.made_at
    from forecast_points as p
    inner join (select forecast_id from forecasts_made where published_at < $as_of) as m on p.forecast_id = m.forecast_id
    where p.series = $series and p.origin <> 'imported' and p.at >= $since and p.at < $until and p.at > p.made_at
    qualify row_number() over (partition by p.at order by p.made_at) = 1
)
select f.due as at, a.actual, f.mean, f.low80, f.high80, f.made_at
from first_said as f
inner join actuals as a on f.due = a.due
order by f.due
