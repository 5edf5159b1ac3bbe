-- one row per day with rows to archive: the last batch to take now, and how many rows that is
with
batches as (
    select
        case when topic = $history then 'past' else strftime(time, '%Y-%m-%d') end as day,
        batch,
        count(*) as records
    from raw_events
    where batch <= (select max(batch) from rolled_up) and (topic = $history or time < $before)
    group by all
),
summed as (select day, batch, records, sum(records) over (partition by day order by batch) as up_to from batches)
select day, max(batch) as last_batch, sum(records)::bigint as records
from summed
where up_to - records < $most
group by day
order by day
