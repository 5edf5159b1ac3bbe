-- one row per record of one topic that lies before the log's start and after what this warehouse has read
insert into raw_events
select
    r.log_id, r.topic, r.partition, r.position, $batch, r.id, r.source, r.type, r.subject, r.time, r.sequence,
    r.correlation_id, r.causation_id, r.data, r.repeat
from {source} as r
inner join (
    select
        unnest($partitions::smallint[]) as partition,
        unnest($read::bigint[]) as read,
        unnest($starts::bigint[]) as start
) as s
    on r.partition = s.partition
where r.topic = $topic and r.position >= s.read and r.position < s.start
