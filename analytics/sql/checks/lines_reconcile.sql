-- one row per live order whose lines do not sum to its total
select o.order_id, o.total_minor, sum(l.quantity * l.unit_price_minor) as lines_minor
from (select order_id, total_minor from orders_placed where placed_at >= $since and placed_at < $until) as o
left join (select * from order_lines where placed_at >= $since and placed_at < $until) as l on o.order_id = l.order_id
group by o.order_id, o.total_minor
having lines_minor is distinct from o.total_minor
