-- one row per product and time it was added; the latest counts
select added_at, product_id, name, category from stg_products
