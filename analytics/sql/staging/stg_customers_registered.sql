-- one row per fresh CustomerRegistered; the id as a hash
select time as registered_at, hash(data ->> 'customer_id') as customer
from fresh_events
where type = 'shop.customer.registered.v1'
