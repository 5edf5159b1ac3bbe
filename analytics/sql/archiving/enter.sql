-- one row: a file that holds from now on what was in the database
insert into archived_files (file, day, part, records, last_batch, newest_id)
select $file, $day, $part, count(*), max(batch), max(id) filter (where time_ordered(id))
from read_parquet($path, hive_partitioning = false)
