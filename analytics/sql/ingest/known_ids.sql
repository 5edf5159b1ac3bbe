-- one row per id of those given that is already kept
select distinct id from every_event where id between $low and $high and id in (select unnest($ids::varchar[]))
