-- one row per hour and bucket: its minutes added up
select date_trunc('hour', d.minute) as minute, bucket, sum(events)::bigint as events
from delay_buckets as d
where date_trunc('hour', d.minute) in (from coarse_hours)
group by all
