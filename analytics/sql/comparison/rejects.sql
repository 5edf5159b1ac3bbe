-- one row per topic, partition and reason: the records that are no event
select topic || '/' || partition || ' ' || reason as place, count(*) as records
from rejected_records
group by topic, partition, reason
