-- one row per minute of the event's own time and topic
select
    minute,
    topic,
    sum(events)::bigint as events,
    minute < $minute as complete
from topic_minutes
where minute >= $since and minute < $until
group by minute, topic
order by minute, topic
