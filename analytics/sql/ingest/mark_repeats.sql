-- marks the rows of this batch whose event id came before, here or in an earlier batch
update raw_events as r
set repeat = true
from (
    select
        batch, topic, partition, position,
        row_number() over (partition by id order by batch, topic, partition, position) as nth
    from every_event
    where id between $low and $high and id in (select unnest($ids::varchar[]))
) as n
where n.nth > 1
    and n.batch = $batch and r.batch = $batch
    and r.topic = n.topic and r.partition = n.partition and r.position = n.position
