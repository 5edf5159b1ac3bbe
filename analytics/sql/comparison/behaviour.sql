-- one row per step: the different sessions and carts in different minutes that came so far
select step::varchar as place, count(*) as visits
from (select minute, session, cart, max(step) as step from behaviour group by all)
group by step
