-- one row per fresh event that an event led to: `cause` is its id; of a dead letter it is the event that was not handled
select *
from (
    select
        time as happened_at,
        source,
        type,
        case
            when type in ('shop.dead-letter.parked.v1', 'shop.dead-letter.replayed.v1') then data -> 'origin' ->> 'event_id'
            else causation_id
        end as cause,
        case when type = 'shop.dead-letter.parked.v1' then (data ->> 'attempts')::bigint - 1 end as retries
    from fresh_events
    where
        type in (
            'shop.customer.registered.v1', 'shop.customer.signed-in.v1', 'shop.customer.erased.v1',
            'shop.product.added.v1', 'shop.product.price-changed.v1', 'shop.stock.received.v1',
            'shop.stock.level-changed.v1', 'shop.stock.reserved.v1', 'shop.stock.reservation-rejected.v1',
            'shop.stock.reservation-released.v1', 'shop.stock.sold.v1', 'shop.order.placed.v1',
            'shop.order.reservation-requested.v1', 'shop.order.authorisation-requested.v1',
            'shop.order.capture-requested.v1', 'shop.order.dispatch-requested.v1', 'shop.order.release-requested.v1',
            'shop.order.void-requested.v1', 'shop.order.refund-requested.v1', 'shop.order.advanced.v1',
            'shop.order.completed.v1', 'shop.order.rejected.v1', 'shop.order.cancelled.v1',
            'shop.payment.authorised.v1', 'shop.payment.declined.v1', 'shop.payment.captured.v1',
            'shop.payment.voided.v1', 'shop.payment.refunded.v1', 'shop.shipment.label-created.v1',
            'shop.shipment.dispatched.v1', 'shop.shipment.delivered.v1', 'ops.person.scrubbed.v1',
            'shop.dead-letter.parked.v1', 'shop.dead-letter.replayed.v1', 'ops.action.requested.v1',
            'ops.audit.advanced.v1', 'ops.action.applied.v1', 'ops.action.failed.v1',
            'ops.action.verdict-reached.v1', 'ops.incident.opened.v1', 'ops.incident.acknowledged.v1',
            'ops.incident.resolved.v1',
            'shop.models.forecast-made.v1', 'shop.models.replicas-advised.v1', 'ops.log.record-lost.v1'
        )
)
where time_ordered(cause)
