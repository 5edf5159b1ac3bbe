-- one row per simulated minute: the sessions that began
select date_trunc('minute', minute_at) as minute, origin, sessions from stg_past_minutes
