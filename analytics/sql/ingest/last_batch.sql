-- one row: the number of the last batch that is kept
select max(batch) as batch
from (select max(batch) as batch from raw_events union all select max(batch) from rejected_records
    union all select max(last_batch) from archived_files)
