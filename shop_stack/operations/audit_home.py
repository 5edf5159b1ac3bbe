"""The audit of a home folder: what runs there, who publishes and follows what, and what operators have asked for."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from shop_stack.eventlog.pruning import inbox_kept
from shop_stack.hosting.cards import card_of
from shop_stack.operations.audit_run import HomeBooks, Report, Shop, run_audit, when_last_alive
from shop_stack.operations.audit_tasks import Consumer
from shop_stack.settings import Home, Settings
from shop_stack.stack import Stack, read_stack

_LATER = timedelta(milliseconds=1)


class _Desired(msgspec.Struct):
    groups: dict[str, int]


def audit_home(settings: Settings, *, strict: bool = False, now: datetime | None = None) -> Report:
    """Audit the stack of a home folder, whether it runs or not.

    Of one that is down, time has stopped at its last record. Raises BookUnreadable, LogUnavailable.
    """
    books = HomeBooks(settings.home, settings.log_url)
    if now is None:
        now = datetime.now(UTC) if settings.home.endpoints.exists() else when_last_alive(books) + _LATER
    return run_audit(books, lambda: shop_of(settings), desired_of(settings.home), now, strict=strict)


def shop_of(settings: Settings) -> Shop:
    """What the services' cards say of themselves."""
    stack: Stack = read_stack(settings.stack_file)
    cards = [card_of(spec.name) for spec in stack.services]
    consumers = []
    for card in cards:
        kinds: dict[str, set[str]] = {}
        for contract in card.subscriptions:
            kinds.setdefault(contract.topic.name, set()).add(contract.type)
        if kinds:
            kept = inbox_kept({contract.topic for contract in card.subscriptions})
            consumers.append(Consumer(card.name, {name: frozenset(some) for name, some in kinds.items()}, {}, kept))
    asked = settings.delivery_seconds
    return Shop(
        services=[card.name for card in cards],
        publishes={card.name: frozenset(event.topic.name for event in card.publications) for card in cards},
        consumers=consumers,
        step_deadline_s=stack.checkout.step_deadline_s,
        delivery_s=asked if asked is not None else stack.checkout.delivery_seconds,
    )


def desired_of(home: Home) -> Mapping[str, int]:
    """The replicas that the supervisor keeps for each group; empty when it has kept none."""
    try:
        return msgspec.json.decode((home.path / "desired.json").read_bytes(), type=_Desired).groups
    except (OSError, msgspec.MsgspecError):
        return {}
