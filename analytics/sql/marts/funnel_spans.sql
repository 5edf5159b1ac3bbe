-- one row per step (5: ordered), first and last moment, and rollup; summed within a span: the sessions that came so far
-- Within a span of up to 26 hours each session counts once: +1 for each of its moments at a step, -1 for each two that
-- follow each other. Those that fresh events touch are counted as they were (sign -1) and as they are now (+1).
with
arrived as materialized (
    select date_trunc('minute', happened_at) as minute, session, cart, max(step) as step from stg_behaviour group by all
),
placed as materialized (select cart, placed_at from stg_orders_placed where cart is not null),
near as materialized (
    select min(moment) - interval 26 hours as since, max(moment) + interval 26 hours as until
    from (select minute as moment from arrived union all select placed_at from placed)
),
touched as materialized (
    select session from arrived union select session from kept_cart_visits where cart in (select cart from placed)
),
visits as materialized (
    select unnest([-1, 1]) as sign, minute, session, cart, step from kept_behaviour
    where minute >= (select since from near) and minute <= (select until from near)
        and session in (select session from touched)
    union all
    select 1, minute, session, cart, step from arrived
),
orders as (
    select unnest([-1, 1]) as sign, cart, placed_at from kept_orders_placed
    where placed_at >= (select since from near) and placed_at <= (select until from near)
        and cart in (select cart from visits)
    union all
    select 1, cart, placed_at from placed
),
minutes as (select sign, session, minute, max(step) as furthest from visits group by all),
chained as (
    select sign, session, furthest, minute as first, unnest([1, 2, 3]) as step, minute as last, unnest([lead(minute) over later,
        min(minute) filter (where furthest >= 2) over later, min(minute) filter (where furthest >= 3) over later]) as next_last
    from minutes
    window later as (partition by sign, session order by minute rows between 1 following and unbounded following)
),
moments as (
    select sign, 4 as step, session, minute as first, minute as last from minutes where furthest >= 4
    union
    select sign, unnest([4, 5]), session, least(minute, placed_at), greatest(minute, placed_at)
    from visits inner join orders using (sign, cart) where abs(epoch(placed_at - minute)) <= 93600
),
least_moments as (
    select * from moments
    qualify last < coalesce(min(last) over (
        partition by sign, step, session order by first desc, last rows between unbounded preceding and 1 preceding), 'infinity')
),
linked as (
    select sign, step, first, last, next_last from chained where step <= furthest
    union all
    select sign, step, first, last, lead(last) over (partition by sign, step, session order by first) from least_moments
)
select step::tinyint as step, first, last, sum(sessions)::bigint as sessions
from (
    select step, first, last, sign as sessions from linked
    union all
    select step, first, next_last, -sign from linked where next_last <= first + interval 26 hours
)
group by all
having sum(sessions) <> 0
