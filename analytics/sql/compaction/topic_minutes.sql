-- one row per minute, topic and origin since a time: the rows of several rollups added up
select minute, topic, origin, sum(events)::bigint as events
from kept_topic_minutes
where minute >= $since
group by all
