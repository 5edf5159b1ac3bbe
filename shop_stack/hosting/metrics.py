"""A replica's numbers in Prometheus' text format."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shop_stack.hosting.http import Page, Requests

if TYPE_CHECKING:
    from shop_stack.hosting.group import ServiceAtWork

Series = tuple[str, float]
"""(labels as `name="value",...`, value)"""


def metrics_page(services: "Sequence[ServiceAtWork]", requests: Requests) -> Page:
    """All numbers of this replica."""
    parts = [
        _metric("shopfloor_requests_total", "counter", "Requests answered.", _requests(requests)),
        _metric("shopfloor_request_seconds_total", "counter", "Seconds spent on requests.", _seconds(requests)),
        _metric("shopfloor_events_handled_total", "counter", "Events handled.", _handled(services)),
        _metric("shopfloor_events_repeated_total", "counter", "Events that had been handled before.",
                _progress(services, "repeated")),
        _metric("shopfloor_events_parked_total", "counter", "Events kept behind one that stopped their aggregate.",
                _progress(services, "parked")),
        _metric("shopfloor_aggregates_waiting", "gauge", "Aggregates that wait to be tried again.",
                _progress(services, "waiting")),
        _metric("shopfloor_stopped_aggregates", "gauge", "Aggregates that a poison event stopped.",
                [(_service(service.name), len(service.stopped())) for service in services]),
        _metric("shopfloor_outbox_age_seconds", "gauge", "Age of the oldest event that the log has not acknowledged.",
                [(_service(service.name), service.relay.age_s()) for service in services]),
        _metric("shopfloor_outbox_blocked", "gauge", "Aggregates whose next event the log refuses.",
                [(_service(service.name), len(service.relay.blocked())) for service in services]),
        _metric("shopfloor_work_items", "gauge", "Work taken on and not done yet, by kind and what it waits for.",
                _work(services, "items")),
        _metric("shopfloor_work_oldest_seconds", "gauge", "Age of the oldest work in hand.",
                _work(services, "oldest_s")),
        _metric("shopfloor_timer_failures_total", "counter", "Timers' turns that failed.",
                [(_service(service.name), service.timers.failures) for service in services]),
    ]  # fmt: skip
    return 200, "text/plain; version=0.0.4", "".join(parts).encode()


def _service(name: str) -> str:
    return f'service="{name}"'


def _requests(requests: Requests) -> list[Series]:
    counted = sorted(requests.count.copy().items())
    return [(f'service="{service}",status="{status}"', count) for (service, status), count in counted]


def _seconds(requests: Requests) -> list[Series]:
    return [(_service(service), seconds) for service, seconds in sorted(requests.seconds.copy().items())]


def _handled(services: "Sequence[ServiceAtWork]") -> list[Series]:
    return [
        (f'service="{service.name}",type="{kind}"', count)
        for service in services
        if service.delivery is not None
        for kind, count in sorted(service.delivery.progress.handled.copy().items())
    ]


def _progress(services: "Sequence[ServiceAtWork]", field: str) -> list[Series]:
    followers = [(service.name, service.delivery) for service in services if service.delivery is not None]
    return [(_service(name), getattr(delivery.progress, field)) for name, delivery in followers]


def _work(services: "Sequence[ServiceAtWork]", field: str) -> list[Series]:
    return [
        (f'{_service(service.name)},kind="{work.kind}",waits_for="{work.waits_for}"', getattr(work, field))
        for service in services
        for work in service.work_in_hand()
    ]


def _metric(name: str, kind: str, words: str, series: Iterable[Series]) -> str:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *(f"{name}{{{labels}}} {v:g}" for labels, v in series)]
    return "\n".join(lines) + "\n"
