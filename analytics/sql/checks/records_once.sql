-- one row per record of the log that is kept more than once
select topic, partition, position, count(*) as kept
from (
    select topic, partition, position from every_event where time >= $since and time < $until
    union all
    select topic, partition, position from rejected_records
)
group by all
having count(*) > 1
