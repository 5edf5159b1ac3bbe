-- one row per raw row that is in the archive alone: it is in the database again
insert into raw_events
select * from every_event as e
where not exists (
    select 1 from raw_events as r where r.topic = e.topic and r.partition = e.partition and r.position = e.position
)
