"""How the provider's stand-in behaves: who is declined, what is slow, lost or told twice, by a seed."""

import hashlib

import msgspec

DECLINE_REASONS = ("insufficient_funds", "card_expired", "suspected_fraud")


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates are 0..1, times seconds; each decision follows from the seed and the order alone.

    `callback_rate` of the outcomes are told to payments `callback_s` later, `duplicate_rate` of those once more.
    """

    decline_rate: float = 0.0
    slow_rate: float = 0.0
    slow_s: float = 2.0
    answer_s: float = 0.0
    lost_rate: float = 0.0
    callback_rate: float = 0.0
    duplicate_rate: float = 0.0
    callback_s: float = 0.5
    seed: int = 7


class BehaviourChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; the rest stays."""

    decline_rate: float | None = None
    slow_rate: float | None = None
    slow_s: float | None = None
    answer_s: float | None = None
    lost_rate: float | None = None
    callback_rate: float | None = None
    duplicate_rate: float | None = None
    callback_s: float | None = None


def changed(behaviour: Behaviour, change: BehaviourChange) -> Behaviour:
    """The behaviour after a change. Raises ValueError for a rate outside 0..1 or a time outside 0..60 s."""
    for name in BehaviourChange.__struct_fields__:
        value = getattr(change, name)
        most = 1.0 if name.endswith("_rate") else 60.0
        if value is not None and not 0.0 <= value <= most:
            raise ValueError(f"{name} must be 0 to {most:g}, not {value:g}")
    given = {name: value for name in BehaviourChange.__struct_fields__ if (value := getattr(change, name)) is not None}
    return msgspec.structs.replace(behaviour, **given)


def decline_reason(behaviour: Behaviour, order_id: str) -> str | None:
    """Why this order's authorisation is declined; None: it is not."""
    if _draw(behaviour.seed, order_id, "decline") >= behaviour.decline_rate:
        return None
    return DECLINE_REASONS[int(_draw(behaviour.seed, order_id, "reason") * len(DECLINE_REASONS))]


def answer_after_s(behaviour: Behaviour, key: str) -> float:
    """Seconds until the first answer to a key."""
    return behaviour.slow_s if _draw(behaviour.seed, key, "slow") < behaviour.slow_rate else behaviour.answer_s


def loses_answer(behaviour: Behaviour, key: str) -> bool:
    """Whether the first answer to a key is lost on its way: the provider has acted, and nobody hears of it."""
    return _draw(behaviour.seed, key, "lost") < behaviour.lost_rate


def callbacks_of(behaviour: Behaviour, key: str) -> int:
    """How often the outcome of a key's step is told: not at all, once or twice."""
    if _draw(behaviour.seed, key, "callback") >= behaviour.callback_rate:
        return 0
    return 2 if _draw(behaviour.seed, key, "duplicate") < behaviour.duplicate_rate else 1


def _draw(seed: int, subject: str, purpose: str) -> float:
    """A number in [0, 1) that follows from its arguments alone."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
