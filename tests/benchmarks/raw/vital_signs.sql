-- one row per metric: today so far (or the last day, of imported orders alone) against the same weekday a week before
with
own as (
    select timezone($zone, timezone('UTC', max(minute)))::date as day from sales_minutes
    where origin = 'imported' and minute < $at and not exists (select 1 from sales_minutes where origin <> 'imported')
        and not exists (select 1 from behaviour) and not exists (select 1 from past_sessions)
),
midnights as (select day, [timezone('UTC', timezone($zone, (day + d)::timestamp)) for d in [0, 1, -7, -6]] as edges from own),
last_day as (select day, edges from midnights where edges[1] < $day_start),
spans as (
    select 'today' as span, $day_start as since, $at as until where not exists (select 1 from last_day)
    union all select 'before', $week_day_start, $week_at where not exists (select 1 from last_day)
    union all select unnest(['today', 'before']), unnest([edges[1], edges[3]]), unnest([edges[2], edges[4]]) from last_day
),
sales as (
    select span, origin, sum(orders)::double as orders, sum(revenue_minor)::double as revenue
    from sales_minutes, spans
    where minute >= (select min(since) from spans) and minute < $at and minute >= since and minute < until
    group by all
),
behaving as (
    select distinct span, session, cart from behaviour, spans
    where minute >= $week_day_start and minute < $at and minute >= since and minute < until
),
visits as (
    select b.span, 'live' as origin, count(distinct b.session)::double as sessions,
        count(distinct b.session) filter (where o.cart is not null)::double as ordering
    from behaving as b
    left join (select distinct span, cart from orders_placed, spans where placed_at >= since and placed_at < until) as o using (span, cart)
    group by all
    union all
    select span, p.origin, sum(p.sessions), any_value(sales.orders)
    from past_sessions as p, spans
    left join sales using (span)
    where p.minute >= $week_day_start and p.minute < $at and p.minute >= since and p.minute < until
        and (sales.origin is null or sales.origin = p.origin)
    group by all
),
facts as (select span, origin, orders, revenue, sessions, ordering from sales full join visits using (span, origin)),
sums as (
    select span, sum(coalesce(orders, 0)) as orders, sum(coalesce(revenue, 0)) as revenue, sum(sessions) as sessions,
        sum(ordering) as ordering, string_agg(distinct origin, ' + ' order by origin) as origins
    from facts where (origin <> 'imported') = (select bool_or(origin <> 'imported') from facts)
    group by span
),
metrics as (
    select m.*, span, origins, [revenue, orders, revenue / nullif(orders, 0), ordering / nullif(sessions, 0), sessions][n] as value
    from sums, (values
        (1, 'revenue', 'minor', 'list value of the orders placed and not rejected or cancelled'),
        (2, 'orders', 'orders', 'orders placed and not rejected or cancelled'), (3, 'average_order', 'minor', 'revenue over orders'),
        (4, 'conversion', 'share', 'sessions that ordered over sessions'),
        (5, 'sessions', 'sessions', 'shoppers who searched, viewed a product, changed a cart or opened the checkout')) as m (n, metric, unit, definition)
)
select metric, unit, max(value) filter (where span = 'today') as today,
    max(value) filter (where span = 'before') as same_weekday, today / nullif(same_weekday, 0) - 1 as change, any_value(definition) as definition,
    coalesce((select day || ', the last day imported' from last_day), 'today') || ': ' || coalesce(max(origins) filter (where span = 'today'), 'no data')
    || '; the same weekday: ' || coalesce(max(origins) filter (where span = 'before'), 'no data') as origin_note
from metrics group by n, metric, unit order by n
