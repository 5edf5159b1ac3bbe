-- takes the rows out of the database that a file of the archive has
delete from raw_events
where batch <= $batch and archive_part(type, subject, correlation_id) = $part and case
    when topic = $history then $day = 'past'
    else time < $before and strftime(time, '%Y-%m-%d') = $day
end
