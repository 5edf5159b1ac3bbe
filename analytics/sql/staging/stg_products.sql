-- one row per fresh ProductAdded
select
    time as added_at,
    data ->> 'product_id' as product_id,
    data ->> 'name' as name,
    data ->> 'category' as category
from fresh_events
where type = 'shop.product.added.v1'
