-- one row per fresh event of an incident: it was opened, acknowledged or resolved
select
    time as happened_at,
    split_part(type, '.', 3) as step,
    e.incident_id,
    e.kind,
    e.service,
    e.summary,
    e.subject,
    e.actor,
    array_to_string(e.waits_for, ',') as waits_for,
    e.amount_minor
from (
    select time, type, from_json(data, '{"incident_id":"VARCHAR","kind":"VARCHAR","service":"VARCHAR","summary":"VARCHAR",
        "subject":"VARCHAR","actor":"VARCHAR","waits_for":["VARCHAR"],"amount_minor":"BIGINT"}') as e
    from fresh_events
    where type in ('ops.incident.opened.v1', 'ops.incident.acknowledged.v1', 'ops.incident.resolved.v1')
)
