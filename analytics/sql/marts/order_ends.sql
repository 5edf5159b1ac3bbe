-- one row per order that ended: completed, rejected or cancelled
select ended_at, order_id, state from stg_order_ends
