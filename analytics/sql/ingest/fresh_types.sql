-- one row per type of the events that are not in the marts yet
select distinct type from fresh_events
