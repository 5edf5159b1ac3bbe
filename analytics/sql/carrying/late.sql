-- one row per minute and topic: when each event was read is known to the old warehouse alone
insert into late_events select minute, topic, events from old.late_events
