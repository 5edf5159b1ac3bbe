-- one row per line of an order, live, imported or simulated
select placed_at, origin, order_id, line.product_id, line.quantity, line.unit_price_minor
from (select placed_at, origin, order_id, unnest(lines) as line from stg_order_lines)
