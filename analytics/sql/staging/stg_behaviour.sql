-- one row per fresh behaviour event; step 1 searched, 2 viewed, 3 cart, 4 checkout
select
    time as happened_at,
    hash(e.session_id) as session,
    case type
        when 'shop.behaviour.products-searched.v1' then 1
        when 'shop.behaviour.product-viewed.v1' then 2
        when 'shop.behaviour.cart-changed.v1' then 3
        else 4
    end::tinyint as step,
    case when step >= 3 then hash(e.cart_id) end as cart
from (
    select
        time,
        type,
        from_json(data, '{"session_id":"VARCHAR","cart_id":"VARCHAR"}') as e
    from fresh_events
    where type in (
        'shop.behaviour.products-searched.v1',
        'shop.behaviour.product-viewed.v1',
        'shop.behaviour.cart-changed.v1',
        'shop.behaviour.checkout-started.v1'
    )
)
where e.session_id is not null
