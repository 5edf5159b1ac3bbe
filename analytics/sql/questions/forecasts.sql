-- one row per point of the latest forecast of each series, of this shop and of imported orders; one with no time where there is none
with
latest as (
    select * from forecasts_made
    where ($series is null or series = $series) and published_at < $as_of
    qualify row_number() over (partition by series, origin = 'imported' order by made_at desc, forecast_id desc) = 1
)
select
    f.series, f.unit, f.origin, f.made_at, f.history_end, f.model, f.status, f.note, f.backtest_mase,
    p.at, p.mean, p.low80, p.high80, p.low95, p.high95
from latest as f
left join forecast_points as p on f.forecast_id = p.forecast_id
order by f.series, f.origin, p.at
