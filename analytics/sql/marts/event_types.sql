-- one row per topic and type of event and rollup; sum the events
select topic, type, count(*) as events, max(time) as event_time
from fresh_events
group by all
