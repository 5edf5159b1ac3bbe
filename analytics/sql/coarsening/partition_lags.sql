-- one row per hour, consumer group and partition in which records waited: the largest of its minutes
select
    date_trunc('hour', p.minute) as minute,
    service,
    topic,
    partition,
    max(lag) as lag,
    max(seconds) as seconds
from kept_partition_lags as p
where date_trunc('hour', p.minute) in (from coarse_hours)
group by all
