-- one row per service: the highest minute of its latest forecast
with
latest as (
    select * from forecasts_made
    where series like 'requests:%' and published_at < $as_of
    qualify row_number() over (partition by series order by made_at desc, forecast_id desc) = 1
)
select
    substr(f.series, 10) as service,
    max(p.mean) as peak_requests_per_minute,
    arg_max(p.at, p.mean) as at,
    f.made_at,
    f.status,
    max(p.high95) as peak_high95,
    f.origin
from latest as f
left join forecast_points as p on f.forecast_id = p.forecast_id
group by f.series, f.made_at, f.status, f.origin
order by service
