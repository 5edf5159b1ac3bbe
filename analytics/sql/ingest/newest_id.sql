-- one row: the largest time-ordered id (UUIDv7) that is kept
select max(id) as id
from (select max(id) as id from raw_events where time_ordered(id) union all select max(newest_id) from archived_files)
