-- one row per minute and bucket: event time to commit, for the batches whose commit times are given
insert into delay_buckets
select
    date_trunc('minute', r.time) as minute,
    floor(ln(greatest(epoch_us(c.at) - epoch_us(r.time), 1000) / 1000.0) / ln(1.05))::smallint as bucket,
    count(*) as events
from fresh_rows as r
inner join (select unnest($batches::bigint[]) as batch, make_timestamp(unnest($times::bigint[])) as at) as c
    on r.batch = c.batch
where r.topic <> $history
group by all
