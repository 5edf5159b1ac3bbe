-- one row per fresh PastMinute: one simulated minute of the stack
select
    time as minute_at,
    e.requests,
    e.errors,
    e.p95_ms,
    coalesce(e.origin, 'simulated') as origin
from (
    select
        time,
        from_json(data, '{"requests":"MAP(VARCHAR, DOUBLE)","errors":"MAP(VARCHAR, DOUBLE)","p95_ms":"MAP(VARCHAR, DOUBLE)","origin":"VARCHAR"}') as e
    from fresh_events
    where type = 'shop.history.past-minute.v1'
)
