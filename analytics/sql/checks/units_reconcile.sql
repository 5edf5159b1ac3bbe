-- one row per origin whose units by hour are not those of the lines of orders not rejected or cancelled
with
kept as (
    select origin, sum(quantity) as units
    from order_lines
    where origin <> 'live' or order_id not in (select order_id from order_ends where state <> 'completed')
    group by origin
),
summed as (select origin, sum(units) as units from units_hours group by origin)
select origin, coalesce(kept.units, 0) as units, coalesce(summed.units, 0) as summed_units
from kept
full join summed using (origin)
where coalesce(kept.units, 0) <> coalesce(summed.units, 0)
