-- one row per origin: the lines of orders, their units and their worth
select origin as place, count(*) as lines, sum(quantity) as units, sum(quantity * unit_price_minor) as worth_minor
from order_lines
group by origin
