-- one row per step and hour: the sessions that came at least so far in it
select step || ' ' || date_trunc('hour', first) as place, sum(sessions)::bigint as sessions
from funnel_spans
where date_trunc('hour', first) = date_trunc('hour', last)
group by step, date_trunc('hour', first)
