-- one row per fresh ForecastMade
select
    e.forecast_id,
    e.series,
    e.unit,
    e.origin,
    e.made_at::timestamp as made_at,
    e.history_end::timestamp as history_end,
    e.step_s,
    e.model,
    e.status,
    e.note,
    e.backtest_mase,
    time as published_at,
    e.points
from (
    select time, from_json(data, '{"forecast_id":"VARCHAR","series":"VARCHAR","unit":"VARCHAR","origin":"VARCHAR","made_at":"VARCHAR","history_end":"VARCHAR","step_s":"BIGINT","model":"VARCHAR","status":"VARCHAR","note":"VARCHAR","backtest_mase":"DOUBLE","points":[{"at":"VARCHAR","mean":"DOUBLE","low80":"DOUBLE","high80":"DOUBLE","low95":"DOUBLE","high95":"DOUBLE"}]}') as e
    from fresh_events
    where type = 'shop.models.forecast-made.v1'
)
