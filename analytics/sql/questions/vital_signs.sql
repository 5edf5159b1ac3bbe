-- one row per metric: today so far against the same weekday a week before, to the same time of day
with
spans as (select * from (values ('today', $day_start, $at), ('before', $week_day_start, $week_at)) as s (span, since, until)),
sales as (
    select span, origin, sum(orders)::double as orders, sum(revenue_minor)::double as revenue
    from sales_minutes, spans
    where minute >= $week_day_start and minute < $at and minute >= since and minute < until
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
    left join (select distinct cart from orders_placed where placed_at >= $week_day_start) as o on b.cart = o.cart
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
chosen as (
    select * from facts where (origin <> 'imported') = (select bool_or(origin <> 'imported') from facts)
),
sums as (
    select span, sum(coalesce(orders, 0)) as orders, sum(coalesce(revenue, 0)) as revenue, sum(sessions) as sessions,
        sum(ordering) as ordering, string_agg(distinct origin, ' + ' order by origin) as origins
    from chosen group by span
),
metrics as (
    select span, origins, unnest([
        {'n': 1, 'metric': 'revenue', 'unit': 'minor', 'value': revenue,
        'definition': 'list value of the orders placed and not rejected or cancelled'},
        {'n': 2, 'metric': 'orders', 'unit': 'orders', 'value': orders,
        'definition': 'orders placed and not rejected or cancelled'},
        {'n': 3, 'metric': 'average_order', 'unit': 'minor', 'value': revenue / nullif(orders, 0),
        'definition': 'revenue over orders'},
        {'n': 4, 'metric': 'conversion', 'unit': 'share', 'value': ordering / nullif(sessions, 0),
        'definition': 'sessions that ordered over sessions'},
        {'n': 5, 'metric': 'sessions', 'unit': 'sessions', 'value': sessions,
        'definition': 'shoppers who searched, viewed a product, changed a cart or opened the checkout'}
    ], recursive := true)
    from sums
)
select
    metric, unit, max(value) filter (where span = 'today') as today,
    max(value) filter (where span = 'before') as same_weekday, today / nullif(same_weekday, 0) - 1 as change,
    any_value(definition) as definition,
    'today: ' || coalesce(max(origins) filter (where span = 'today'), 'no data') || '; the same weekday: '
    || coalesce(max(origins) filter (where span = 'before'), 'no data') as origin_note
from metrics group by n, metric, unit order by n
