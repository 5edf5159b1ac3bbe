-- one row per action that an operator requested in the span
with asked as (
    select action_id from action_steps where step = 'requested' and happened_at >= $since and happened_at < $until
)
select
    min(happened_at) filter (where step = 'requested') as requested_at,
    action_id,
    any_value(kind) as kind,
    any_value(service) as service,
    any_value(process_group) as "group",
    any_value(actor) as actor,
    any_value(reason) as reason,
    any_value(previous) as previous,
    any_value(replicas) as replicas,
    coalesce(arg_min(step, happened_at) filter (where step in ('applied', 'failed')), 'under way') as outcome,
    min(happened_at) filter (where step in ('applied', 'failed')) as finished_at,
    any_value(error) as error,
    any_value(expected_utilisation) as expected_utilisation,
    any_value(expected_p95_ms) as expected_p95_ms,
    any_value(utilisation_before) as utilisation_before,
    any_value(utilisation_after) as utilisation_after,
    any_value(p95_before_ms) as p95_before_ms,
    any_value(p95_after_ms) as p95_after_ms,
    any_value(verdict) as verdict,
    any_value(because) as because
from action_steps
where action_id in (select action_id from asked) and happened_at < $as_of
group by action_id
order by requested_at, action_id
