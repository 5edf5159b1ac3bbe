-- one row per id of those given that is already kept
select distinct id from raw_events where id between $low and $high and id in (select unnest($ids::varchar[]))
