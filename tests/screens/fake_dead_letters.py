"""Dead letters as the fake server tells them, and what its replay does: it hands over what is meant, or fails it."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from shop_stack.operations.model import ActionView, DeadLetterView, ReplayPreview, ReplayRequest

if TYPE_CHECKING:
    from tests.screens.fake_operations import State


def letter(number: int, service: str = "orders", **changes: Any) -> DeadLetterView:
    """A record that stops its aggregate since some minutes ago."""
    one = DeadLetterView(
        service=service, topic="shop.payments", aggregate=f"0190-order-{number:04}", event_id=f"event-{number}",
        partition=1, position=100 + number, error="ValueError: no version v9 of shop.payment.captured", attempts=3,
        replays=0, quarantined=False, events_behind=2, parked_at=time.time() - 60.0 * number,
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


def replay(state: "State", body: dict[str, Any]) -> tuple[int, ReplayPreview]:
    """A dry run, or what was begun and is over already; `state.cured` says whether it succeeds."""
    asked = msgspec.convert(body, ReplayRequest)
    wanted = [one for one in state.letters if asked.service in ("", one.service)]
    wanted = [one for one in wanted if asked.event_id in ("", one.event_id)]
    meant = [one for one in wanted if asked.quarantined or not one.quarantined]
    reasons = [one.error.partition(":")[0] for one in meant]
    preview = ReplayPreview(
        dead_letters=len(meant),
        events_behind=sum(one.events_behind for one in meant),
        by_reason={reason: reasons.count(reason) for reason in reasons},
        by_service={},
        quarantined_left_out=len(wanted) - len(meant),
    )
    if asked.dry_run:
        return 200, preview
    state.asked.append(("replay", asked.service, body))
    return 200, msgspec.structs.replace(preview, action_id=_begin(state, asked, meant))


def _begin(state: "State", asked: ReplayRequest, meant: list[DeadLetterView]) -> str:
    now, number = datetime.now(UTC), len(meant)
    if state.cured:
        state.letters = [one for one in state.letters if one not in meant]
    said = f"{number} succeeded; {number * 3} events had their effect" if state.cured else f"{number} failed; 0 events"
    action = ActionView(
        action_id=f"action-{len(state.actions) + 1}", kind="replay", service=asked.service or "all", group="",
        actor="operator", reason=asked.reason, state="applied", requested_at=now, applied_at=now, error=None,
        replicas=None, previous=None, expected=None, before=None, after=None, verdict=None, because=said,
        measure_until=None,
    )  # fmt: skip
    state.actions.append(action)
    return action.action_id
