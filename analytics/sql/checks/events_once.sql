-- one row per event id that counts more or less than once
select id, count(*) filter (where not repeat) as counted
from every_event
where time >= $since and time < $until
group by id
having counted <> 1
