-- one row per origin: the minutes of its first and last event
select
    origin,
    min(minute) as first,
    max(minute) as last,
    sum(events)::bigint as events
from topic_minutes
where minute < $as_of
group by origin
order by origin
