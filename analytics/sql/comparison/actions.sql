-- one row per step of operators' actions and verdict: how many, and the sums of what they tell
select
    step || coalesce(' ' || verdict, '') as place,
    count(*) as steps,
    count(distinct action_id) as actions,
    sum(replicas) as replicas,
    sum(seconds) as seconds,
    sum(expected_p95_ms) as expected_p95_ms,
    sum(p95_after_ms) as p95_after_ms
from action_steps
group by all
