-- one row per id that an earlier batch has too, of those in this bulk batch that memory cannot tell
select distinct id
from every_event
where batch < $batch
    and id between $low and $high
    and id in (select id from raw_events where batch = $batch and (not time_ordered(id) or id <= $floor))
