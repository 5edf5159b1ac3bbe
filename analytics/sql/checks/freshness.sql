-- one row when the newest sample of the stack that was read (one is published each second) is older than two minutes
select topic, max(event_time) as newest_read_at
from partition_positions
where topic = 'ops.samples'
group by topic
having newest_read_at < $now - interval 2 minutes
