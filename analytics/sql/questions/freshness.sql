-- one row per topic and partition: the position after the last record read, and the time of its latest event
select
    topic,
    partition,
    max(last_position) + 1 as position,
    max(event_time) as event_time
from partition_positions
group by topic, partition
order by topic, partition
