-- one row per topic: what was read, rejected, repeated, late or of a type that is not known, and how old the newest is
with
topics as (select unnest($topics::varchar[]) as topic union select topic from partition_positions),
taken as (
    select
        topic,
        sum(records)::bigint as records,
        sum(repeats)::bigint as repeats,
        max(event_time) as newest_event_at
    from partition_positions
    group by topic
),
reasons as (
    select topic, regexp_replace(reason, '[0-9]+', 'N', 'g') as reason, count(*) as records
    from rejected_records
    group by all
),
rejects as (
    select
        topic,
        sum(records)::bigint as rejected,
        to_json(map_from_entries(list((reason, records) order by nth) filter (where nth <= 10))) as reasons
    from (select *, row_number() over (partition by topic order by records desc, reason) as nth from reasons)
    group by topic
),
bases as (select regexp_replace(unnest($known_types::varchar[]), '[.]v[0-9]+$', '') as base),
strange as (
    select
        topic,
        sum(events) filter (where regexp_replace(type, '[.]v[0-9]+$', '') not in (select base from bases)) as unknown,
        sum(events) filter (where regexp_replace(type, '[.]v[0-9]+$', '') in (select base from bases)) as versions
    from event_types
    where type not in (select unnest($known_types::varchar[]))
    group by topic
),
late as (select topic, sum(events)::bigint as late from late_events group by topic)
select
    t.topic,
    coalesce(a.records, 0) as records,
    coalesce(r.rejected, 0) as rejected,
    coalesce(r.reasons, '{}'::json) as reject_reasons,
    coalesce(a.repeats, 0) as repeats,
    coalesce(l.late, 0) as late,
    coalesce(s.unknown, 0)::bigint as unknown_types,
    coalesce(s.versions, 0)::bigint as new_versions,
    a.newest_event_at,
    epoch_us($now - a.newest_event_at) / 1000000.0::double as freshness_s
from topics as t
left join taken as a on t.topic = a.topic
left join rejects as r on t.topic = r.topic
left join strange as s on t.topic = s.topic
left join late as l on t.topic = l.topic
order by t.topic
