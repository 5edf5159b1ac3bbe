-- one row per day and part with rows to archive: the last batch to take now, and how many rows that is
with
batches as (
    select
        case when topic = $history then 'past' else strftime(time, '%Y-%m-%d') end as day,
        archive_part(type, subject, correlation_id) as part,
        batch,
        count(*) as records,
        sum(strlen(data)) as bytes
    from raw_events
    where batch <= (select max(batch) from rolled_up) and (topic = $history or time < $before)
    group by all
),
summed as (
    select
        day,
        part,
        batch,
        records,
        sum(records) over below as records_below,
        sum(bytes) over below as bytes_below
    from batches
    window below as (partition by day, part order by batch rows between unbounded preceding and 1 preceding)
)
select day, part, max(batch) as last_batch, sum(records)::bigint as records
from summed
where coalesce(records_below, 0) < $most
    and (part <> 'orders' or coalesce(bytes_below, 0) < $most_sorted)
group by day, part
order by day, part
