-- one row per session and cart in a minute and rollup: the furthest step; ids are 64-bit hashes
select date_trunc('minute', happened_at) as minute, session, max(step) as step, cart
from stg_behaviour
group by all
