-- one row: how many rows of a file that no transaction has entered are not in the database either
select count(*) as records
from read_parquet($path, hive_partitioning = false) as f
anti join every_event as r on f.topic = r.topic and f.partition = r.partition and f.position = r.position
