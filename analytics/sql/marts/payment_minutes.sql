-- one row per minute, outcome of payments and reason of a decline, and rollup; sum the payments and their amounts
select
    date_trunc('minute', happened_at) as minute,
    outcome,
    reason,
    count(*) as payments,
    sum(amount_minor)::bigint as amount_minor
from stg_payments
group by all
