-- one row per topic and partition and rollup; the largest position is the last record read
select
    topic,
    partition,
    max(position) as last_position,
    max(time) as event_time,
    count(*) as records,
    count(*) filter (where repeat) as repeats
from (
    select topic, partition, position, time, repeat from fresh_rows
    union all
    select topic, partition, position, null, false from fresh_rejected
)
group by all
