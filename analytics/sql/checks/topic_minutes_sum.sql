-- one row per topic whose minutes do not sum to its events
select coalesce(m.topic, r.topic) as topic, m.events as in_minutes, r.events as in_raw
from (
    select topic, sum(events) as events from topic_minutes
    where minute >= $since and minute < $until
    group by topic
) as m
full join (
    select topic, count(*) as events from every_event
    where not repeat and time >= $since and time < $until
    group by topic
) as r on m.topic = r.topic
where m.events is distinct from r.events
