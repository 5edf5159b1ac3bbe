-- one row per complete minute and service: live and simulated together, for the made-up past ends where live begins
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
select minute, service, sum(requests) as requests, min(origin) as origin
from minutes
group by minute, service
order by service, minute
