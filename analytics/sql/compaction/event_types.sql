-- one row per topic and type of event
select topic, type, sum(events)::bigint as events, max(event_time) as event_time
from kept_event_types
where $since is not null
group by all
