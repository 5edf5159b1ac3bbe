-- one row per id of this batch that is kept more than once
select id
from raw_events
where id between $low and $high and id in (select id from raw_events where batch = $batch)
group by id
having count(*) > 1
