-- one row per forecast and time it speaks of
select
    forecast_id,
    series,
    origin,
    made_at,
    p.at::timestamp as at,
    p.mean,
    p.low80,
    p.high80,
    p.low95,
    p.high95
from (select forecast_id, series, origin, made_at, unnest(points) as p from stg_forecasts)
