-- one row per record of one topic that the old warehouse has and the log no longer keeps: it lies below the log's start
insert into raw_events
select
    r.log_id, r.topic, r.partition, r.position, $batch, r.id, r.source, r.type, r.subject, r.time, r.sequence,
    r.correlation_id, r.causation_id, r.data, r.repeat
from {source} as r
inner join (select unnest($partitions::smallint[]) as partition, unnest($starts::bigint[]) as start) as s
    on r.partition = s.partition
where r.topic = $topic and r.position < s.start
