-- one row per log that rows came from besides the one this warehouse belongs to
select distinct log_id from every_event
where time >= $since and time < $until and log_id not in (select log_id from log_identity)
