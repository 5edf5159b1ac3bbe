-- one row per outcome and reason of payments whose minutes do not sum to the events: in number, or in money
with
told as (
    select
        split_part(type, '.', 3) as outcome,
        data ->> 'reason' as reason,
        count(*) as payments,
        sum((data ->> 'amount_minor')::bigint) as amount_minor
    from every_event
    where time >= $since and time < $until and not repeat and type in (
        'shop.payment.authorised.v1',
        'shop.payment.declined.v1',
        'shop.payment.captured.v1',
        'shop.payment.voided.v1',
        'shop.payment.refunded.v1'
    )
    group by all
),
summed as (
    select outcome, reason, sum(payments) as payments, sum(amount_minor) as amount_minor
    from payment_minutes
    where minute >= $since and minute < $until
    group by outcome, reason
)
select
    coalesce(t.outcome, s.outcome) as outcome,
    coalesce(t.reason, s.reason) as reason,
    t.payments,
    s.payments as summed_payments,
    t.amount_minor,
    s.amount_minor as summed_minor
from told as t
full join summed as s on t.outcome = s.outcome and t.reason is not distinct from s.reason
where t.payments is distinct from s.payments or t.amount_minor is distinct from s.amount_minor
