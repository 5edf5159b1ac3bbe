-- one row per decoded record of a small batch
insert into raw_events
select
    $log_id, topic, partition, position, $batch, id, source, type, subject,
    make_timestamp(time_us), sequence, correlation_id, causation_id, data, false
from incoming_events
