-- one row per minute and topic since a time
select minute, topic, sum(events)::bigint as events
from late_events
where minute >= $since
group by all
