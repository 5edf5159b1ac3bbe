-- one row per incident and time that it was opened, of those that were open in the span; orders stuck for one cause are one
with
steps as (
    select *, case step when 'opened' then 1 when 'acknowledged' then 2 else 3 end as rank
    from incident_steps
    where happened_at < $until
),
-- the same incident may come again when it is over: each end makes the next opening another one
turns as (
    select *, count(*) filter (where step = 'resolved') over (
        partition by incident_id order by happened_at, rank rows between unbounded preceding and 1 preceding) as turn
    from steps
),
told as (
    select incident_id, any_value(kind) as kind, any_value(service) as service, any_value(summary) as summary,
        any_value(subject) as subject, min(happened_at) filter (where step = 'opened') as opened_at,
        min(happened_at) filter (where step = 'acknowledged') as acknowledged_at,
        arg_max(actor, happened_at) filter (where step = 'acknowledged') as owner,
        min(happened_at) filter (where step = 'resolved') as resolved_at,
        coalesce(resolved_at, 'infinity'::timestamp) as ends,
        epoch(coalesce(resolved_at, least($now, $until)) - opened_at) as seconds,
        string_split(coalesce(any_value(waits_for), ''), ',') as causes, any_value(amount_minor) as amount_minor
    from turns
    group by incident_id, turn
    having opened_at is not null
),
stuck as (from told where kind = 'checkout_stuck'),
-- an order belongs to one incident for all: of those that it may wait for to what is away, else to what comes next
members as (
    select o.*, a.incident_id as of_incident
    from stuck as o
    inner join stuck as a on a.subject is null and a.opened_at <= o.ends and o.opened_at <= a.ends
        and (a.causes[1] = '' or list_contains(o.causes, a.causes[1]) or (a.causes[1] = 'an answer' and o.causes[1] = ''))
    where o.subject is not null
    qualify row_number() over (
        partition by o.incident_id, o.opened_at
        order by exists (from told as n where n.kind = 'no_replica' and n.service = a.causes[1]
            and n.opened_at <= o.opened_at and o.opened_at <= n.ends) desc,
            list_position(o.causes, a.causes[1]), a.opened_at) = 1
),
each_once as (
    select of_incident, subject, min(opened_at) as opened_at, bool_or(resolved_at is null) as is_open, max(amount_minor) as amount_minor
    from members group by of_incident, subject
),
sums as (
    select of_incident, count(*) as orders, count(*) filter (where is_open) as orders_open, sum(amount_minor)::bigint as amount_minor,
        array_to_string(list_slice(list(subject order by opened_at, subject), 1, 3), ',') as oldest
    from each_once
    group by of_incident
)
select t.incident_id, t.kind, t.service, t.summary, t.subject, t.opened_at, t.acknowledged_at, t.owner, t.resolved_at, t.seconds,
    coalesce(s.orders, case when t.kind = 'checkout_stuck' then (t.subject is not null)::bigint end) as orders,
    coalesce(s.orders_open, case when t.kind = 'checkout_stuck'
        then (t.subject is not null and t.resolved_at is null)::bigint end) as orders_open,
    coalesce(s.amount_minor, t.amount_minor) as amount_minor, coalesce(s.oldest, t.subject) as oldest
from told as t
left join sums as s on t.incident_id = s.of_incident
left join members as m on t.incident_id = m.incident_id and t.opened_at = m.opened_at
where t.ends >= $since and m.of_incident is not distinct from $incident_id
order by t.opened_at, t.incident_id
