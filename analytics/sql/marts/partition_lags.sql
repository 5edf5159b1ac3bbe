-- one row per minute, consumer group and partition in which records waited, and rollup; take the largest
select
    date_trunc('minute', sampled_at) as minute,
    service,
    topic,
    partition,
    max(lag) as lag,
    max(seconds) as seconds
from stg_partition_lags
group by all
