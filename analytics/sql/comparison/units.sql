-- one row per origin: units sold, of how many products in how many hours
select origin as place, sum(units) as units, count(distinct product_id) as products, count(distinct minute) as hours
from units_hours
group by origin
