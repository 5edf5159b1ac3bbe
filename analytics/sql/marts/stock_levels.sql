-- one row per product and rollup: its units as they were last; take the row of the highest version
select product_id, version, changed_at, available, reserved, sold
from stg_stock_levels
qualify row_number() over (partition by product_id order by version desc nulls last, changed_at desc) = 1
