-- one row per record of one topic that is no event, as in rows_below
insert into rejected_records
select r.log_id, r.topic, r.partition, r.position, $batch, r.reason
from old.rejected_records as r
inner join (
    select
        unnest($partitions::smallint[]) as partition,
        unnest($read::bigint[]) as read,
        unnest($starts::bigint[]) as start
) as s
    on r.partition = s.partition
where r.topic = $topic and r.position >= s.read and r.position < s.start
