-- one row per step: the live sessions that came at least that far
with
steps as (
    select * from (values ('sessions', 1), ('viewed', 2), ('cart', 3), ('checkout', 4), ('ordered', 5)) as s (step, position)
),
-- what is added up counts a session once within 26 hours; over more each is looked at
added as (
    select step as position, sum(sessions)::bigint as sessions
    from funnel_spans
    where $until <= $since + interval 26 hours and first >= $since and last < $until
    group by step
),
reached as (
    select v.session, max(case when o.cart is not null then 5 else v.step end) as furthest
    from (select * from behaviour where minute >= $since and minute < $until) as v
    left join (select distinct cart from orders_placed where placed_at >= $since and placed_at < $until) as o
        on v.cart = o.cart
    where $until > $since + interval 26 hours
    group by v.session
),
counted as (
    select position, sessions from added
    union all
    select s.position, count(*) as sessions from steps as s inner join reached as r on r.furthest >= s.position group by s.position
)
select
    s.step,
    s.position,
    coalesce(c.sessions, 0) as sessions,
    coalesce(c.sessions, 0) / (select sessions from counted where position = 1)::double as share
from steps as s
left join counted as c on s.position = c.position
order by s.position
