-- one row per session and cart in a minute and rollup: how far the session came with the cart (3 filled it, 4 checkout)
select date_trunc('minute', happened_at) as minute, session, cart, max(step) as step
from stg_behaviour
where type in ('shop.behaviour.cart-changed.v1', 'shop.behaviour.checkout-started.v1') and cart is not null
group by all
