-- one row per fresh event of an operator's action: it was requested, applied, failed or judged
select
    time as happened_at,
    case type
        when 'ops.action.requested.v1' then 'requested'
        when 'ops.action.applied.v1' then 'applied'
        when 'ops.action.failed.v1' then 'failed'
        else 'judged'
    end as step,
    e.*
from (
    select time, type, from_json(data, '{"action_id":"VARCHAR","kind":"VARCHAR","service":"VARCHAR","group":"VARCHAR","actor":"VARCHAR","reason":"VARCHAR","previous":"BIGINT","replicas":"BIGINT","expected_utilisation":"DOUBLE","expected_p95_ms":"DOUBLE","seconds":"DOUBLE","error":"VARCHAR","verdict":"VARCHAR","because":"VARCHAR","before":{"p95_ms":"DOUBLE","utilisation":"DOUBLE"},"after":{"p95_ms":"DOUBLE","utilisation":"DOUBLE"}}') as e
    from fresh_events
    where type in (
        'ops.action.requested.v1', 'ops.action.applied.v1', 'ops.action.failed.v1', 'ops.action.verdict-reached.v1'
    )
)
