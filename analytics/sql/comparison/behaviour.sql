-- one row per step: the different sessions in different minutes
select step::varchar as place, count(*) as visits
from (select distinct minute, session, step, cart from behaviour)
group by step
