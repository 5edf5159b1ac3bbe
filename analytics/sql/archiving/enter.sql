-- one row: a file that holds from now on what was in the database
insert into archived_files
select $file, $day, count(*), max(batch), max(id) filter (where time_ordered(id))
from read_parquet($path, hive_partitioning = false)
