-- one row per reason for which the provider declined payments
with
decided as (
    select outcome, reason, sum(payments)::bigint as payments
    from payment_minutes
    where minute >= $since and minute < $until and outcome in ('authorised', 'declined')
    group by outcome, reason
)
select
    coalesce(reason, 'no reason given') as reason,
    payments as declined,
    payments / (select sum(payments) from decided) as share,
    payments / (select sum(payments) from decided where outcome = 'declined') as share_of_declined
from decided
where outcome = 'declined'
order by declined desc, reason
