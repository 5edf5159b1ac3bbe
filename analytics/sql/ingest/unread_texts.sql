-- one row per record of this bulk batch that could not be read as an event, before repeats are marked
select topic, partition, position from raw_events where batch = $batch and repeat order by all
