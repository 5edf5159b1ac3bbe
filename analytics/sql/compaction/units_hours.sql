-- one row per hour, product and origin since a time: the rows of several rollups added up
select minute, product_id, origin, sum(units)::bigint as units
from kept_units_hours
where minute >= $since
group by all
