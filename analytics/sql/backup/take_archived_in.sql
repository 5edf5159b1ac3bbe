-- one row per raw row of the archive: a backup has them in its own table, and needs no other file
insert into backup.raw_events select * from every_event
