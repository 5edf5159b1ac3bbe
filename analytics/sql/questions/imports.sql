-- one row per imported file: what became of its lines and its money
select
    e.file_hash,
    e.lines_read,
    e.lines_imported,
    e.reasons,
    e.net_sales_minor,
    e.reason_money_minor,
    e.rounding_minor,
    e.first::timestamp as first,
    e.last::timestamp as last
from (
    select
        time,
        from_json(data, '{"file_hash":"VARCHAR","lines_read":"BIGINT","lines_imported":"BIGINT","reasons":"JSON","net_sales_minor":"BIGINT","reason_money_minor":"JSON","rounding_minor":"BIGINT","first":"VARCHAR","last":"VARCHAR"}') as e
    from every_event
    where type = 'shop.history.imported.v1' and not repeat and time < $as_of
)
qualify row_number() over (partition by e.file_hash order by time desc) = 1
order by time
