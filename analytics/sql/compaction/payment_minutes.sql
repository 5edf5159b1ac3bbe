-- one row per minute, outcome and reason since a time: the rows of several rollups added up
select minute, outcome, reason, sum(payments)::bigint as payments, sum(amount_minor)::bigint as amount_minor
from kept_payment_minutes
where minute >= $since
group by all
