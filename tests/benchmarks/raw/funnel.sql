-- one row per step: the live sessions that came at least that far
with
visits as (
    select session, step, cart from behaviour where minute >= $since and minute < $until
),
reached as (
    select
        v.session,
        max(case when o.cart is not null then 5 else v.step end) as furthest
    from visits as v
    left join (select distinct cart from orders_placed where placed_at >= $since and placed_at < $until) as o
        on v.cart = o.cart
    group by v.session
),
steps as (
    select * from (values ('sessions', 1), ('viewed', 2), ('cart', 3), ('checkout', 4), ('ordered', 5)) as s (step, position)
)
select
    s.step,
    s.position,
    count(r.session) as sessions,
    count(r.session) / nullif((select count(*) from reached), 0)::double as share
from steps as s
left join reached as r on r.furthest >= s.position
group by s.step, s.position
order by s.position
