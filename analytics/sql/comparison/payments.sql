-- one row per outcome of payments and reason: how many, their money and the minutes in which there were any
select
    outcome || coalesce(' ' || reason, '') as place,
    sum(payments) as payments,
    sum(amount_minor) as amount_minor,
    count(distinct minute) as minutes
from payment_minutes
group by outcome, reason
