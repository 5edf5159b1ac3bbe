-- one row per service: the requests a minute of the last five complete minutes (live)
select
    service,
    60 * sum(requests) / sum(seconds) as requests
from service_parts
where minute >= $since and minute < $until and origin = 'live'
group by service
having sum(seconds) > 0
order by service
