-- one row per topic and partition: the rows of all rollups put together
select
    topic,
    partition,
    max(last_position) as last_position,
    max(event_time) as event_time,
    sum(records)::bigint as records,
    sum(repeats)::bigint as repeats
from kept_partition_positions
where $since is not null
group by all
