-- one row per minute and bucket since a time: the rows of several rollups added up
select minute, bucket, sum(events)::bigint as events
from delay_buckets
where minute >= $since
group by all
