-- one row per minute and topic: events read more than five minutes after their own time, of the batches given
insert into late_events
select
    date_trunc('minute', r.time) as minute,
    r.topic,
    count(*) as events
from fresh_events as r
inner join (select unnest($batches::bigint[]) as batch, make_timestamp(unnest($times::bigint[])) as at) as c
    on r.batch = c.batch
where r.topic <> $history and r.time < c.at - interval 5 minutes
group by all
