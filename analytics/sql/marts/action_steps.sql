-- one row per step of an operator's action: requested, then applied or failed, then judged
select
    happened_at,
    step,
    action_id,
    kind,
    service,
    "group" as process_group,
    actor,
    reason,
    previous,
    replicas,
    expected_utilisation,
    expected_p95_ms,
    seconds,
    error,
    verdict,
    because,
    before.p95_ms as p95_before_ms,
    after.p95_ms as p95_after_ms,
    before.utilisation as utilisation_before,
    after.utilisation as utilisation_after
from stg_action_steps
