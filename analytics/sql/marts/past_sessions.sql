-- one row per simulated minute: the sessions that began
select
    date_trunc('minute', time) as minute,
    coalesce(data ->> 'origin', 'simulated') as origin,
    (data -> 'sessions')::double as sessions
from fresh_events
where type = 'shop.history.past-minute.v1'
