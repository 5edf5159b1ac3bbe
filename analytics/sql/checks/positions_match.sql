-- one row per partition whose kept position is not that of its last record
select p.topic, p.partition, p.last_position, r.last_position as in_raw
from (select topic, partition, max(last_position) as last_position from partition_positions group by all) as p
full join (
    select topic, partition, max(position) as last_position
    from (select topic, partition, position from every_event union all select topic, partition, position from rejected_records)
    group by all
) as r on p.topic = r.topic and p.partition = r.partition
where p.last_position is distinct from r.last_position
