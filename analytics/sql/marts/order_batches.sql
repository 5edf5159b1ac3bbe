-- one row per order (a 64-bit hash of its id) and batch with events of it, and rollup; correlated with it, or about it
select hash(order_id) as order_hash, batch, correlated
from (
    select correlation_id as order_id, batch, true as correlated from fresh_events where correlation_id is not null
    union all
    -- by its subject alone, unless that is by contract something else than an order
    select subject, batch, false from fresh_events
    where correlation_id is distinct from subject and subject is not null
        and not starts_with(type, 'shop.behaviour.') and not starts_with(type, 'shop.customer.')
        and not starts_with(type, 'shop.product.') and not starts_with(type, 'ops.stack.')
        and not starts_with(type, 'shop.stock.level-changed.') and not starts_with(type, 'shop.stock.received.')
        and not starts_with(type, 'shop.history.past-minute.')
)
group by all
