-- one row per topic and partition: the next position to read, the records taken, and how many repeated an event
select
    topic,
    partition,
    max(last_position) + 1 as position,
    sum(records) as records,
    sum(repeats) as repeats
from partition_positions
group by topic, partition
order by topic, partition
