-- one row per row of this batch: its id's hash, 64 bits
select hash(id) as id_hash from raw_events where batch = $batch
