-- one row per service of a fresh StackSampled
select
    time as sampled_at,
    interval_s,
    s.service,
    s."group" as process_group,
    s.ready,
    s.desired,
    s.request_rate,
    s.error_rate,
    s.p95_ms,
    s.lag,
    s.lag_s,
    s.orders_waiting,
    s.waiting_minor,
    s.cpu_cores
from (
    select
        time,
        e.interval_s,
        unnest(e.services) as s
    from (
        select
            time,
            from_json(data, '{"interval_s":"DOUBLE","services":[{"service":"VARCHAR","group":"VARCHAR","ready":"BIGINT","desired":"BIGINT","request_rate":"DOUBLE","error_rate":"DOUBLE","p95_ms":"DOUBLE","lag":"BIGINT","lag_s":"DOUBLE","orders_waiting":"BIGINT","waiting_minor":"BIGINT","cpu_cores":"DOUBLE"}]}') as e
        from fresh_events
        where type = 'ops.stack.sampled.v1'
    )
)
