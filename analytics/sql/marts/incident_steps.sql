-- one row per step of an incident: opened, acknowledged or resolved
select happened_at, step, incident_id, kind, service, summary, subject, actor, waits_for, amount_minor
from stg_incident_steps
