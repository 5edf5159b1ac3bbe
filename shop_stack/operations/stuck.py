"""Orders that are stuck, by cause: an outage stops many orders, and needs a person once."""

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from shop_stack.events import IncidentOpened
from shop_stack.money import format_minor
from shop_stack.operations.model import IncidentView, StuckOrder, StuckOrders
from shop_stack.operations.outages import outage_of
from shop_stack.operations.troubles import Trouble

KIND = "checkout_stuck"
ABOUT = "stuck/"
_UNTOLD = "an answer"
_NAMED = 3


class Causes:
    """What stuck orders wait for. `groups` are the services by process group: its outage is theirs."""

    def __init__(self, zone: ZoneInfo, currency: str, groups: Mapping[str, Sequence[str]]) -> None:
        self._zone, self._currency = zone, currency
        self._group = {service: group for group, services in groups.items() for service in services}

    def order(self, event: IncidentOpened, outages: Mapping[str, IncidentView]) -> StuckOrder | None:
        """The stuck order that an incident tells of, with one cause; None when it tells of something else.

        Of several services that it may wait for it is the one that is away, else the one whose answer comes next. It
        keeps this cause until it moves on, also when that service has come back.
        """
        if event.kind != KIND or event.subject is None:
            return None
        away = [name for name in event.waits_for if self._outage(name) in outages]
        waits_for = [*away, *event.waits_for, _UNTOLD][0]
        return StuckOrder(order_id=event.subject, waits_for=waits_for, amount_minor=event.amount_minor)

    def troubles(self, singles: Sequence[IncidentView], outages: Mapping[str, IncidentView]) -> list[Trouble]:
        """One trouble a cause from the open incidents of single orders and, by what they are about, of outages."""
        by_cause: dict[str, list[tuple[IncidentView, StuckOrder]]] = {}
        for view in sorted(singles, key=lambda view: (view.opened_at, view.incident_id)):
            if view.order is not None:
                by_cause.setdefault(view.order.waits_for, []).append((view, view.order))
        return [self._trouble(cause, some, outages) for cause, some in by_cause.items()]

    def _trouble(
        self, cause: str, some: Sequence[tuple[IncidentView, StuckOrder]], outages: Mapping[str, IncidentView]
    ) -> Trouble:
        outage = outages.get(self._outage(cause))
        amounts = [order.amount_minor for _, order in some if order.amount_minor is not None]
        stuck = StuckOrders(
            orders=len(some),
            amount_minor=sum(amounts),
            whole=len(amounts) == len(some),
            since=some[0][0].opened_at,
            oldest=[order.order_id for _, order in some[:_NAMED]],
            outage=outage.incident_id if outage else None,
        )
        because = f"; no replica of {outage.service} is ready, which is an incident of its own" if outage else ""
        summary = f"{self._counted(stuck)} for {cause}, the first since {self._clock(stuck)}{because}"
        announced = f"orders are stuck and wait for {cause}{because}"
        return Trouble(
            f"{ABOUT}{cause}",
            KIND,
            some[0][0].service,
            summary,
            announced=announced,
            stuck=stuck,
            waits_for=(cause,),
        )

    def _counted(self, stuck: StuckOrders) -> str:
        worth = format_minor(stuck.amount_minor, self._currency) + ("" if stuck.whole else " or more")
        return f"1 order worth {worth} waits" if stuck.orders == 1 else f"{stuck.orders} orders worth {worth} wait"

    def _clock(self, stuck: StuckOrders) -> str:
        return f"{stuck.since.astimezone(self._zone):%H:%M:%S}"

    def _outage(self, service: str) -> str:
        return outage_of(self._group.get(service, service))
