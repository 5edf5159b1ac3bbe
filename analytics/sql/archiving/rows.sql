-- one row per raw row of a part of a day, up to a batch and from before a time
select * from raw_events
where batch <= $batch and archive_part(type, subject, correlation_id) = $part and case
    when topic = $history then $day = 'past'
    else time < $before and strftime(time, '%Y-%m-%d') = $day
end
