-- one row per record of a bulk batch, parsed here; a record that is no event fails the statement
insert into raw_events
select
    $log_id, topic, partition, position, $batch, e.id, e.source, e.type, e.subject,
    case
        when ends_with(e.time, 'Z') then e.time::timestamp
        else timezone('UTC', e.time::timestamptz)
    end,
    e.sequence, e.correlationid, e.causationid, e.data, false
from (
    select
        topic,
        partition,
        position,
        from_json(value, '{"id":"VARCHAR","source":"VARCHAR","type":"VARCHAR","subject":"VARCHAR","time":"VARCHAR","sequence":"BIGINT","correlationid":"VARCHAR","causationid":"VARCHAR","data":"JSON"}') as e
    from incoming_texts
)
