-- one row per event id that counts more or less than once
select id, count(*) filter (where not repeat) as counted
from every_event
group by id
having counted <> 1
