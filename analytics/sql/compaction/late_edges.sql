-- one row per five minutes, cause, effect and delay since a time: the rows of several rollups added up
select
    minute, source, type, consumer, led_to, bucket, sum(events)::bigint as events, sum(retries)::bigint as retries
from kept_late_edges
where minute >= $since
group by all
