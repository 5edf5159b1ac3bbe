-- one row: the products with a level, and the units of their last ones
select 'all' as place, count(*) as products, sum(available) as available, sum(reserved) as reserved, sum(sold) as sold
from (
    select * from stock_levels
    qualify row_number() over (partition by product_id order by version desc nulls last, changed_at desc) = 1
)
