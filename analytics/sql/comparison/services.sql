-- one row per service and origin: seconds covered, requests, errors and CPU seconds, summed
select
    service || ' ' || origin as place,
    sum(seconds) as seconds,
    sum(requests) as requests,
    sum(errors) as errors,
    sum(cpu_seconds) as cpu_seconds
from service_parts
group by service, origin
