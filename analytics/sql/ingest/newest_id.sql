-- one row: the largest time-ordered id (UUIDv7) that is kept
select max(id) as id from raw_events where length(id) = 36 and id[15] = '7'
