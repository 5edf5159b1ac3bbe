-- one row per step of incidents and actions that is not in its mart as often as there are events of it
with
told as (
    select replace(split_part(type, '.', 2) || ' ' || split_part(type, '.', 3), 'verdict-reached', 'judged') as step, count(*) as events
    from every_event
    where time >= $since and time < $until and not repeat and type in (
        'ops.incident.opened.v1', 'ops.incident.acknowledged.v1', 'ops.incident.resolved.v1',
        'ops.action.requested.v1', 'ops.action.applied.v1', 'ops.action.failed.v1', 'ops.action.verdict-reached.v1'
    )
    group by all
),
kept as (
    select 'incident ' || step as step, count(*) as rows from incident_steps
    where happened_at >= $since and happened_at < $until
    group by all
    union all
    select 'action ' || step, count(*) from action_steps
    where happened_at >= $since and happened_at < $until
    group by all
)
select step, coalesce(told.events, 0) as events, coalesce(kept.rows, 0) as in_mart
from told
full join kept using (step)
where coalesce(told.events, 0) <> coalesce(kept.rows, 0)
