-- one row per service and partition in which records waited, of a fresh StackSampled
select
    sampled_at,
    service,
    p.topic,
    p.partition,
    p.lag,
    p.seconds
from (
    select
        time as sampled_at,
        s.service,
        unnest(s.partitions) as p
    from (
        select
            time,
            unnest(from_json(data -> 'services', '[{"service":"VARCHAR","partitions":[{"topic":"VARCHAR","partition":"BIGINT","lag":"BIGINT","seconds":"DOUBLE"}]}]')) as s
        from fresh_events
        where type = 'ops.stack.sampled.v1'
    )
)
