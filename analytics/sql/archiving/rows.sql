-- one row per raw row of a day, up to a batch and from before a time; those of one order lie together
with
rows as (
    select * from raw_events
    where batch <= $batch and case
        when topic = $history then $day = 'past'
        else time < $before and strftime(time, '%Y-%m-%d') = $day
    end
)
(select * from rows where correlation_id is not null order by correlation_id, time)
union all
(select * from rows where correlation_id is null)
