-- one row per step, first and last moment since a time: the rows of several rollups added up
select step, first, last, sum(sessions)::bigint as sessions
from kept_funnel_spans
where first >= $since
group by all
having sum(sessions) <> 0
