-- one row: products, and the times that one was added
select 'all' as place, count(distinct product_id) as products, count(*) as added
from products
