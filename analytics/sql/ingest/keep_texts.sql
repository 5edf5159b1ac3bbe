-- one row per record of a bulk batch, parsed here; `repeat` marks for now what could not be read as an event
insert into raw_events
select
    $log_id, topic, partition, position, $batch,
    coalesce(e.id, ''), coalesce(e.source, ''), coalesce(e.type, ''), e.subject,
    coalesce(time, 'epoch'::timestamp), e.sequence, e.correlationid, e.causationid, e.data,
    e.id is null or e.source is null or e.type is null or e.data is null or time is null
from (
    select
        topic,
        partition,
        position,
        e,
        case
            when ends_with(e.time, 'Z') then try_cast(e.time as timestamp)
            when regexp_matches(e.time, '[+-][0-9]{2}:?[0-9]{2}$') then timezone('UTC', try_cast(e.time as timestamptz))
        end as time
    from (
        select
            topic,
            partition,
            position,
            try(from_json(value, '{"id":"VARCHAR","source":"VARCHAR","type":"VARCHAR","subject":"VARCHAR","time":"VARCHAR","sequence":"BIGINT","correlationid":"VARCHAR","causationid":"VARCHAR","data":"JSON"}')) as e
        from incoming_texts
    )
)
