-- one row per minute, consumer group and partition in which records waited: the largest lag and its share of the group's
select
    minute,
    service as "group",
    topic,
    partition,
    max(lag) as lag,
    max(seconds) as seconds,
    max(lag) / sum(max(lag)) over (partition by minute, service) as share
from partition_lags
where minute >= $since and minute < $until and ($service is null or service = $service)
group by minute, service, topic, partition
order by minute, service, lag desc, topic, partition
