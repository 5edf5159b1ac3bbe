-- one row per topic and origin: its events in minutes
select topic || ' ' || origin as place, sum(events) as events, count(distinct minute) as minutes
from topic_minutes
group by topic, origin
