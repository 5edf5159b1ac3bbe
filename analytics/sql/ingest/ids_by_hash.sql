-- one row per id of this batch with one of these hashes
select distinct id from raw_events where batch = $batch and hash(id) in (select unnest($hashes::ubigint[]))
