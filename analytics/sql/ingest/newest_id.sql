-- one row: the largest time-ordered id (UUIDv7) that is kept in this batch, or in all
select max(id) as id from raw_events where length(id) = 36 and id[15] = '7' and ($batch is null or batch = $batch)
