-- one row per minute, consumer group and partition since a time: the largest of several rollups
select minute, service, topic, partition, max(lag) as lag, max(seconds) as seconds
from kept_partition_lags
where minute >= $since
group by all
