-- one row per product: that of the highest version of all rollups
select product_id, version, changed_at, available, reserved, sold
from kept_stock_levels
where $since is not null
qualify row_number() over (partition by product_id order by version desc nulls last, changed_at desc) = 1
