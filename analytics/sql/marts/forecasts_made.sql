-- one row per forecast as it was made
select
    forecast_id, series, unit, origin, made_at, history_end, step_s, model, status, note, backtest_mase, published_at
from stg_forecasts
