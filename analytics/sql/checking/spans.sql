-- one row per span of event times with about $most events: where it begins; the next one's beginning is its end
select min(minute) as since
from (
    select minute, floor((sum(events) over (order by minute) - events) / $most) as nth
    from (select minute, sum(events) as events from topic_minutes group by minute)
)
group by nth
order by since
