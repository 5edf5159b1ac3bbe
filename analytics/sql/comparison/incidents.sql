-- one row per step of incidents: how many, of how many incidents and services
select
    step as place,
    count(*) as steps,
    count(distinct incident_id) as incidents,
    count(distinct service) as services,
    count(distinct actor) as actors
from incident_steps
group by step
