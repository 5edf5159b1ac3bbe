-- one row per order placed here (live)
select placed_at, order_id, customer_id, cart, total_minor from stg_orders_placed
