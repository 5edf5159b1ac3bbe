-- one row per series: forecasts, the points in them and the sum of their means
select f.series as place, count(distinct f.forecast_id) as forecasts, count(p.at) as points, sum(p.mean) as means
from forecasts_made as f
left join forecast_points as p on f.forecast_id = p.forecast_id
group by f.series
