"""How customers are recognised, how many failed sign-ins are too many, and when an erasure may be done and is."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

# scrypt (RFC 7914) with 4 MB and about 17 ms: modest, so that a rush of sign-ins does not starve the shop.
# The parameters stand in each hash, so that they can be raised without locking anybody out.
_COST, _BLOCK, _LANES, _BYTES = 4096, 8, 1, 32
SALT_BYTES = 16
FAILURES_ALLOWED = 5
FAILURE_WINDOW_US = 60_000_000


def same_email(text: str) -> str:
    """An e-mail address as it is compared: trimmed, lower case."""
    return text.strip().casefold()


def hash_password(password: str, salt: bytes) -> str:
    """`scrypt$cost$block$lanes$salt$hash` (hexadecimal) of a password with a fresh random salt."""
    return f"scrypt${_COST}${_BLOCK}${_LANES}${salt.hex()}${_derive(password, salt, _COST, _BLOCK, _LANES).hex()}"


def password_fits(password: str, kept: str) -> bool:
    """Whether `password` made the kept hash; takes as long for a wrong one."""
    _, cost, block, lanes, salt, expected = kept.split("$")
    derived = _derive(password, bytes.fromhex(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(derived, bytes.fromhex(expected))


def _derive(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, dklen=_BYTES)


@dataclass(frozen=True)
class Patience:
    """Whether another sign-in may be tried, else in how many whole seconds."""

    may_try: bool
    retry_after_s: int = 0


def patience(failures_us: Sequence[int], now_us: int) -> Patience:
    """At most FAILURES_ALLOWED failed sign-ins in a minute for one e-mail; `failures_us` in any order."""
    recent = sorted(at for at in failures_us if now_us - at < FAILURE_WINDOW_US)
    if len(recent) < FAILURES_ALLOWED:
        return Patience(True)
    frees_at = recent[-FAILURES_ALLOWED] + FAILURE_WINDOW_US
    return Patience(False, max(1, -(-(frees_at - now_us) // 1_000_000)))


# Who must have answered for an erasure to be complete: each that keeps anything under a person's id.
PLACES = ("customers", "storefront", "orders", "shipping", "analytics")
ErasureState = Literal["waiting", "erasing", "complete"]


def erasure_state(erased: bool, ids: Sequence[str], answered: Collection[tuple[str, str]]) -> ErasureState:
    """How far an erasure is; `answered` are the (id, place) pairs that have dropped what they held.

    It waits while orders are open: the parcel needs the address and a refund its order (GDPR 17(3)(b), (e)). The
    person need not ask again.
    """
    if not erased:
        return "waiting"
    return "complete" if not missing_places(ids, answered) else "erasing"


def missing_places(ids: Sequence[str], answered: Collection[tuple[str, str]]) -> list[str]:
    """The places that have not answered for every id."""
    return [place for place in PLACES if any((one, place) not in answered for one in ids)]


def look_again_s(looks: int) -> float:
    """Seconds until an erasure that waits for open orders is looked at again: 1, doubled each time, at most 60."""
    return min(2.0 ** min(max(looks - 1, 0), 16), 60.0)
