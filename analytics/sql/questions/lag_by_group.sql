-- one row per minute and consumer group: the largest lag seen in that minute
select
    minute,
    service as "group",
    max(lag) as lag
from service_parts
where minute >= $since and minute < $until and lag is not null
group by minute, service
order by minute, service
