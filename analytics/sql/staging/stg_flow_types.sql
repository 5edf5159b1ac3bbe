-- one row per type of events that lead to others, or that others lead to; `code` is short, for the time of a statement
select type, (row_number() over ())::utinyint as code
from (select unnest([
    'shop.customer.registered.v1', 'shop.customer.signed-in.v1', 'shop.customer.erased.v1', 'shop.product.added.v1',
    'shop.product.price-changed.v1', 'shop.stock.received.v1', 'shop.stock.level-changed.v1',
    'shop.stock.reserved.v1', 'shop.stock.reservation-rejected.v1', 'shop.stock.reservation-released.v1',
    'shop.stock.sold.v1', 'shop.order.placed.v1', 'shop.order.reservation-requested.v1',
    'shop.order.authorisation-requested.v1', 'shop.order.capture-requested.v1', 'shop.order.dispatch-requested.v1',
    'shop.order.release-requested.v1', 'shop.order.void-requested.v1', 'shop.order.refund-requested.v1',
    'shop.order.advanced.v1', 'shop.order.completed.v1', 'shop.order.rejected.v1', 'shop.order.cancelled.v1',
    'shop.payment.authorised.v1', 'shop.payment.declined.v1', 'shop.payment.captured.v1', 'shop.payment.voided.v1',
    'shop.payment.refunded.v1', 'shop.shipment.label-created.v1', 'shop.shipment.dispatched.v1',
    'shop.shipment.delivered.v1', 'ops.person.scrubbed.v1', 'shop.dead-letter.parked.v1',
    'shop.dead-letter.replayed.v1', 'ops.action.requested.v1', 'ops.audit.advanced.v1', 'ops.action.applied.v1',
    'ops.action.failed.v1', 'ops.action.verdict-reached.v1', 'ops.incident.opened.v1',
    'ops.incident.acknowledged.v1', 'ops.incident.resolved.v1', 'shop.models.forecast-made.v1',
    'shop.models.replicas-advised.v1', 'ops.log.record-lost.v1'
]) as type)
