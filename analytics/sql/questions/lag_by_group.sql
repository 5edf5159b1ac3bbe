-- one row per minute and consumer group: the largest of each that was seen in that minute
select
    minute,
    service as "group",
    max(lag) as lag,
    max(lag_s) as seconds,
    max(orders_waiting) as orders_waiting,
    max(waiting_minor) as waiting_minor
from service_parts
where minute >= $since and minute < $until and lag is not null
group by minute, service
order by minute, service
