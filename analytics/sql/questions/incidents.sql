-- one row per incident and time that it was opened, of those that were open in the span
with
steps as (
    select
        *,
        case step when 'opened' then 1 when 'acknowledged' then 2 else 3 end as rank
    from incident_steps
    where happened_at < $until
),
-- the same incident may come again when it is over: each end makes the next opening another one
turns as (
    select
        *,
        count(*) filter (where step = 'resolved') over (
            partition by incident_id order by happened_at, rank rows between unbounded preceding and 1 preceding
        ) as turn
    from steps
)
select
    incident_id,
    any_value(kind) as kind,
    any_value(service) as service,
    any_value(summary) as summary,
    any_value(subject) as subject,
    min(happened_at) filter (where step = 'opened') as opened_at,
    min(happened_at) filter (where step = 'acknowledged') as acknowledged_at,
    arg_max(actor, happened_at) filter (where step = 'acknowledged') as owner,
    min(happened_at) filter (where step = 'resolved') as resolved_at,
    epoch(coalesce(resolved_at, least($now, $until)) - opened_at) as seconds
from turns
group by incident_id, turn
having opened_at is not null and coalesce(resolved_at >= $since, true)
order by opened_at, incident_id
