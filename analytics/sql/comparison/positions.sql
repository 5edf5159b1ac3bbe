-- one row per topic and partition: the last position, the records and the repeats among them
select topic || '/' || partition as place, max(last_position) as last, sum(records) as records, sum(repeats) as repeats
from partition_positions
group by topic, partition
