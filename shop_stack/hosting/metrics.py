"""A replica's numbers for Prometheus."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shop_stack.exposition import CONTENT_TYPE, Sample, histogram, metric
from shop_stack.hosting.http import Page, Requests

if TYPE_CHECKING:
    from shop_stack.hosting.group import ServiceAtWork


def metrics_page(services: "Sequence[ServiceAtWork]", requests: Requests) -> Page:
    """All numbers of this replica."""
    parts = [
        metric("shopfloor_requests_total", "counter", "Requests answered.", _requests(requests)),
        histogram("shopfloor_request_duration_seconds", "Seconds from a request's head to the end of its answer.",
                  [(_service(service), durations) for service, durations in sorted(requests.seconds.copy().items())]),
        metric("shopfloor_events_handled_total", "counter", "Events handled.", _handled(services)),
        metric("shopfloor_events_repeated_total", "counter", "Events that had been handled before.",
               _progress(services, "repeated")),
        metric("shopfloor_events_parked_total", "counter", "Events kept behind one that stopped their aggregate.",
               _progress(services, "parked")),
        metric("shopfloor_aggregates_waiting", "gauge", "Aggregates that wait to be tried again.",
               _progress(services, "waiting")),
        metric("shopfloor_stopped_aggregates", "gauge", "Aggregates that a poison event stopped.",
               [(_service(service.name), len(service.stopped())) for service in services]),
        metric("shopfloor_outbox_age_seconds", "gauge", "Age of the oldest event that the log has not acknowledged.",
               [(_service(service.name), service.relay.age_s()) for service in services]),
        metric("shopfloor_outbox_blocked", "gauge", "Aggregates whose next event the log refuses.",
               [(_service(service.name), len(service.relay.blocked())) for service in services]),
        metric("shopfloor_work_items", "gauge", "Work taken on and not done yet, by kind and what it waits for.",
               _work(services, "items")),
        metric("shopfloor_work_oldest_seconds", "gauge", "Age of the oldest work in hand.",
               _work(services, "oldest_s")),
        metric("shopfloor_timer_failures_total", "counter", "Timers' turns that failed.",
               [(_service(service.name), service.timers.failures) for service in services]),
    ]  # fmt: skip
    return 200, CONTENT_TYPE, "".join(parts).encode()


def _service(name: str) -> Mapping[str, str]:
    return {"service": name}


def _requests(requests: Requests) -> list[Sample]:
    counted = sorted(requests.count.copy().items())
    return [({"service": service, "status": str(status)}, count) for (service, status), count in counted]


def _handled(services: "Sequence[ServiceAtWork]") -> list[Sample]:
    return [
        ({"service": service.name, "type": kind}, count)
        for service in services
        if service.delivery is not None
        for kind, count in sorted(service.delivery.progress.handled.copy().items())
    ]


def _progress(services: "Sequence[ServiceAtWork]", field: str) -> list[Sample]:
    followers = [(service.name, service.delivery) for service in services if service.delivery is not None]
    return [(_service(name), getattr(delivery.progress, field)) for name, delivery in followers]


def _work(services: "Sequence[ServiceAtWork]", field: str) -> list[Sample]:
    return [
        ({"service": service.name, "kind": work.kind, "waits_for": work.waits_for}, getattr(work, field))
        for service in services
        for work in service.work_in_hand()
    ]
