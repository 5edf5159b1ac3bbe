-- one row per minute, topic and origin and rollup; sum the events
select
    date_trunc('minute', time) as minute,
    topic,
    case
        when type in ('shop.history.past-order-recorded.v1', 'shop.history.past-minute.v1')
            then coalesce(data ->> 'origin', 'imported')
        else 'live'
    end as origin,
    count(*) as events
from fresh_events
group by all
