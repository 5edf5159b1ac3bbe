-- one row per session, step and cart in a minute and rollup; ids are 64-bit hashes
select date_trunc('minute', happened_at) as minute, session, step, cart
from stg_behaviour
group by all
