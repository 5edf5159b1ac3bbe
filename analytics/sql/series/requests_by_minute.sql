-- one row per complete minute and service: live where there is live, else simulated
with
minutes as (
    select
        minute, service, origin,
        60 * sum(requests) / sum(seconds) as requests
    from service_parts
    where minute >= $since and minute < $until
    group by minute, service, origin
    having sum(seconds) >= 30
)
select minute, service, requests, origin
from minutes
qualify row_number() over (partition by minute, service order by origin) = 1
order by service, minute
