-- one row per raw row of a day, up to a batch and from before a time; those of orders first, so that they lie together
with
rows as not materialized (
    select * from raw_events
    where batch <= $batch and case
        when topic = $history then $day = 'past'
        else time < $before and strftime(time, '%Y-%m-%d') = $day
    end
)
select * from rows where correlation_id is not null
union all
select * from rows where correlation_id is null
