"""The audit of a home folder: what runs there, who publishes and follows what, and what operators have asked for.

`python -m shop_stack.operations.audit_home [--strict]` answers JSON for the settings in its environment: operations
starts it so, since an audit takes memory that goes with its process.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import msgspec

from shop_stack.access import read_token
from shop_stack.errors import AccessDenied
from shop_stack.eventlog.pruning import inbox_kept
from shop_stack.events.topics import TOPICS
from shop_stack.hosting.cards import card_of
from shop_stack.operations import audit_stores as stores
from shop_stack.operations.audit import Invariant, OrderRow, Report, skipped
from shop_stack.operations.audit_analytics import NAMES, AnalyticsSilent, Questions, audit_analytics
from shop_stack.operations.audit_erasure import files_below
from shop_stack.operations.audit_run import HomeBooks, Shop, run_audit, when_last_alive
from shop_stack.operations.audit_tasks import Consumer, Frame, audit_erasures
from shop_stack.settings import Home, Settings, from_environment
from shop_stack.stack import Stack, read_stack

_LATER = timedelta(milliseconds=1)


class _Desired(msgspec.Struct):
    groups: dict[str, int]


def audit_home(
    settings: Settings, *, strict: bool = False, now: datetime | None = None, needles: Sequence[bytes] = ()
) -> Report:
    """Audit the stack of a home folder, whether it runs or not; `needles` are bytes that must be in none of its files.

    Of one that is down, time has stopped at its last record. Raises BookUnreadable, LogUnavailable.
    """
    books = HomeBooks(settings.home, settings.log_url, settings.stores_url, settings.store_secrets, settings.kafka)
    if now is None:
        now = datetime.now(UTC) if settings.home.endpoints.exists() else when_last_alive(books) + _LATER

    def beside(frame: Frame) -> list[Invariant]:
        files = files_below(settings.home.path) if needles else []
        return [*_analytics(settings, books, frame), *audit_erasures(books, frame, files, needles)]

    shop = shop_of(settings)
    return run_audit(books, lambda: shop, desired_of(settings.home), now, strict=strict, beside=beside)


def _analytics(settings: Settings, books: HomeBooks, frame: Frame) -> list[Invariant]:
    if not settings.ports.get("analytics") or not settings.home.endpoints.exists():
        return [skipped(name, "analytics is not running") for name in NAMES]

    def read() -> dict[str, OrderRow]:
        with closing(books.store("orders")) as orders:
            return stores.read_orders(orders, frame.watermark.at_us)

    def ends_now() -> dict[str, dict[int, int]]:
        with closing(books.log()) as log:
            return {topic: log.ends(topic) for topic in TOPICS}

    orders = read()
    with closing(books.log()) as log:
        starts, ends = ({topic: of(topic) for topic in TOPICS} for of in (log.starts, log.ends))
    try:
        questions = Questions(settings.place("analytics"), read_token(settings.home, "viewer"))
        return audit_analytics(questions, orders, read, starts, ends, ends_now, frame.watermark, frame.excuses)
    except (AnalyticsSilent, AccessDenied) as error:
        return [skipped(name, str(error)) for name in NAMES]


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


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(audit_home(from_environment(), strict="--strict" in sys.argv)))
