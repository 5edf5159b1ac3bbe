-- one row per hour and process group
with
services as (
    select
        date_trunc('hour', minute) as hour,
        process_group,
        service,
        sum(ready_seconds) / 3600 as replica_hours,
        sum(cpu_seconds) / 3600 as cpu_hours
    from replica_minutes
    where minute >= $since and minute < $until
    group by all
),
-- a group's services share its replicas and its CPU: each of them tells all of it
groups as (
    select
        hour,
        process_group,
        string_agg(service, ', ' order by service) as services,
        max(replica_hours) as replica_hours,
        max(cpu_hours) as cpu_hours,
        case
            when $replica_hour_minor is not null or $cpu_hour_minor is not null
                then max(replica_hours) * coalesce($replica_hour_minor, 0) + max(cpu_hours) * coalesce($cpu_hour_minor, 0)
        end as cost_minor
    from services
    group by hour, process_group
),
sold as (
    select date_trunc('hour', minute) as hour, sum(orders)::bigint as orders
    from (
        select minute, origin, orders from sales_minutes
        union all
        -- what was called off later had not been yet
        select date_trunc('minute', o.placed_at), 'live', 1
        from order_ends as e
        inner join orders_placed as o on e.order_id = o.order_id
        where e.ended_at >= $as_of and e.state <> 'completed'
    )
    where minute >= $since and minute < $until and origin = 'live'
    group by all
)
select
    g.hour,
    g.process_group as "group",
    g.services,
    g.replica_hours,
    g.cpu_hours,
    g.cost_minor,
    coalesce(s.orders, 0) as orders,
    g.cost_minor / nullif(s.orders, 0) as cost_an_order_minor,
    g.hour < date_trunc('hour', $minute) as complete
from groups as g
left join sold as s on g.hour = s.hour
order by g.hour, g.process_group
