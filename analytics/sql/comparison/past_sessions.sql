-- one row per origin: sessions of the simulated past
select origin as place, sum(sessions) as sessions
from past_sessions
group by origin
