-- one row per fresh behaviour event; step 1 searched, 2 viewed, 3 cart, 4 checkout
select
    time as happened_at,
    type,
    hash(data ->> 'session_id') as session,
    case type
        when 'shop.behaviour.products-searched.v1' then 1
        when 'shop.behaviour.product-viewed.v1' then 2
        when 'shop.behaviour.cart-changed.v1' then 3
        else 4
    end::tinyint as step,
    case
        when type in ('shop.behaviour.cart-changed.v1', 'shop.behaviour.checkout-started.v1')
            and data ->> 'cart_id' is not null
            then hash(data ->> 'cart_id')
    end as cart
from fresh_events
where type in (
    'shop.behaviour.products-searched.v1',
    'shop.behaviour.product-viewed.v1',
    'shop.behaviour.cart-changed.v1',
    'shop.behaviour.checkout-started.v1'
)
and data ->> 'session_id' is not null
