-- one row per cause and effect: how often the one led to the other, after what delays, and with how many retries
select
    source || ' ' || type || ' ' || consumer || ' ' || led_to as place,
    sum(events) as events,
    sum(events * bucket) as delays,
    sum(retries) as retries,
    count(distinct minute) as times
from (
    select minute, source, type, consumer, led_to, bucket, events, retries from event_edges where source is not null
    union all
    select * from late_edges
)
group by source, type, consumer, led_to
