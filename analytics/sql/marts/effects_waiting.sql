-- one row per event that came before the event that led to it: `cause` is the hash of that one's id
with
effects as materialized (select * from stg_effects),
-- the bounds pass over the parts of the raw rows whose ids cannot match
found as materialized (
    select id from every_event
    where id between (select min(cause) from effects) and (select max(cause) from effects)
        and id in (select cause from effects) and not repeat
)
select hash(e.cause) as cause, e.happened_at, e.source, e.type, e.retries
from effects as e
where e.cause not in (select id from found)
