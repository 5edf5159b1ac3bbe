-- one row per record of the log that is no event, with its position and the reason
insert into rejected_records
select $log_id, topic, partition, position, $batch, reason
from incoming_rejected
