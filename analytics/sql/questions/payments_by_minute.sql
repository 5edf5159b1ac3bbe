-- one row per minute in which a payment got an outcome
select
    minute,
    coalesce(sum(payments) filter (where outcome = 'authorised'), 0)::bigint as authorised,
    coalesce(sum(payments) filter (where outcome = 'declined'), 0)::bigint as declined,
    coalesce(sum(payments) filter (where outcome = 'declined' and reason = 'suspected_fraud'), 0)::bigint as suspected_fraud,
    coalesce(sum(payments) filter (where outcome = 'captured'), 0)::bigint as captured,
    coalesce(sum(payments) filter (where outcome = 'voided'), 0)::bigint as voided,
    coalesce(sum(payments) filter (where outcome = 'refunded'), 0)::bigint as refunded,
    coalesce(sum(amount_minor) filter (where outcome = 'authorised'), 0)::bigint as authorised_minor,
    coalesce(sum(amount_minor) filter (where outcome = 'captured'), 0)::bigint as captured_minor,
    coalesce(sum(amount_minor) filter (where outcome = 'refunded'), 0)::bigint as refunded_minor,
    captured_minor - refunded_minor as net_minor,
    declined / nullif(authorised + declined, 0) as share_declined,
    minute < $minute as complete
from payment_minutes
where minute >= $since and minute < $until
group by minute
order by minute
