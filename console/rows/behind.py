"""How far a service is behind its events: since when, what waits, when it is worked off, and where it lies."""

from typing import TYPE_CHECKING

from console.rows import Row, Span, Tone
from console.rows import figures as f
from console.text import safe

if TYPE_CHECKING:
    from shop_stack.operations.drain import Drain
    from shop_stack.operations.model import GroupLag, ServiceView

LATE_S = 5.0
_NAMED = 3


def cell(view: "ServiceView") -> Span:
    """At most 4 characters: seconds with their unit while events wait (`12s`), else how many flow (`37`)."""
    behind = view.behind
    if behind is None or behind.seconds <= 0:
        return Span(f.count(view.lag), "dim" if view.lag == 0 else "plain")
    return Span(f.age(behind.seconds), _tone(behind))


def brief(view: "ServiceView") -> str:
    """`12 s behind, does not drain` when that is late; empty else."""
    behind = view.behind
    if behind is None or behind.seconds < LATE_S:
        return ""
    hot = f", most in {safe(behind.hot)}" if behind.hot else ""
    return f"{f.span(behind.seconds)} behind, {_drained(behind.drain)}{hot}"


def rows(view: "ServiceView", currency: str) -> list[Row]:
    """Three lines on what waits; none while events flow."""
    behind = view.behind
    if behind is None or behind.seconds <= 0:
        return []
    tone = _tone(behind)
    what = f": {f.count(behind.lag)} events{_orders(behind, currency)}"
    first = (Span(f"behind {f.span(behind.seconds)}", tone), Span(what))
    rates = behind.rates
    pace = f"{f.rate(rates.arrivals)}/s come, {f.rate(rates.processed)}/s are done: " if rates else ""
    second = (Span(f"  {pace}"), Span(_drained(behind.drain, with_bounds=True), tone))
    return [Row("behind:what", first), Row("behind:drain", second), Row("behind:where", (_where(behind),))]


def _tone(behind: "GroupLag") -> Tone:
    return "warn" if behind.seconds >= LATE_S else "plain"


def _orders(behind: "GroupLag", currency: str) -> str:
    if not behind.orders_waiting:
        return ""
    plural = "" if behind.orders_waiting == 1 else "s"
    least = "" if behind.orders_whole else " or more"
    worth = f.money(behind.waiting_minor, currency)
    return f", {f.count(behind.orders_waiting)} order{plural} worth {worth}{least}"


def _drained(drain: "Drain", with_bounds: bool = False) -> str:
    if drain.state == "does_not_drain":
        return "does not drain"
    if drain.seconds is None or drain.low_s is None:
        return "how long it takes is not known yet"
    about = f"drained in about {f.span(drain.seconds)}"
    if not with_bounds:
        return about
    upto = f"to {f.span(drain.high_s)}" if drain.high_s is not None else "or longer, perhaps never"
    return f"{about} (80%: {f.span(drain.low_s)} {upto})"


def _where(behind: "GroupLag") -> Span:
    if behind.hot:
        share = max((row.share for row in behind.partitions), default=0.0)
        return Span(f"  {f.share(share)} in {safe(behind.hot)}: only one replica reads it, more do not help", "warn")
    most = sorted(behind.partitions, key=lambda row: -row.lag)[:_NAMED]
    named = ", ".join(f"{safe(row.topic)}/{row.partition} {f.share(row.share)}" for row in most)
    return Span(f"  most in {named}", "dim")
