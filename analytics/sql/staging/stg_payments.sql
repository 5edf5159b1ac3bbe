-- one row per fresh outcome of a payment; a decline has a reason, and no amount
select
    time as happened_at,
    case type
        when 'shop.payment.authorised.v1' then 'authorised'
        when 'shop.payment.declined.v1' then 'declined'
        when 'shop.payment.captured.v1' then 'captured'
        when 'shop.payment.voided.v1' then 'voided'
        else 'refunded'
    end as outcome,
    e.reason,
    e.amount_minor
from (
    select time, type, from_json(data, '{"reason":"VARCHAR","amount_minor":"BIGINT"}') as e
    from fresh_events
    where type in (
        'shop.payment.authorised.v1',
        'shop.payment.declined.v1',
        'shop.payment.captured.v1',
        'shop.payment.voided.v1',
        'shop.payment.refunded.v1'
    )
)
