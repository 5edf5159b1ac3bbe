"""The replicas of one service, a line each."""

from typing import TYPE_CHECKING

from console.rows import Line, Row, Span, Tone, behind
from console.rows import figures as f
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.model import ReplicaView, ServiceView


def replica_rows(view: "ServiceView", currency: str = "") -> list[Row]:
    """How far the service is behind, what else is said of it as a whole, then its replicas."""
    moves = f"; moves with {', '.join(map(safe, view.moves_with))}" if view.moves_with else ""
    bounds = f"{view.min_replicas} to {view.max_replicas} replicas, {f.rate(view.replica_capacity)} req/s each"
    about = (Span(f"group {safe(view.group)}{moves}; {bounds}; outbox {f.span(view.outbox_age_s)} behind", "dim"),)
    stopped = [
        Row(f"stopped:{name}", (Span(f"stopped: {safe(name)} waits for an event that cannot be handled", "bad"),))
        for name in view.stopped_aggregates
    ]
    title = f"{'REPLICA':<18} {'STATE':<8} {'CPU':>6} {'MEMORY':>7}  {'AGE':<7} RESTARTS  PID"
    head = (Span(title, "head"),)
    return [
        *behind.rows(view, currency),
        Row("head:about", about),
        *stopped,
        Row("head:replicas", head),
        *(Row(r.name, _replica(r)) for r in view.replicas),
    ]


def _replica(replica: "ReplicaView") -> Line:
    tone: Tone = "ok" if replica.state == "ready" else "warn"
    return (
        Span(fit(safe(replica.name), 18) + " ", "strong"),
        Span(fit(safe(replica.state), 8) + " ", "bad" if replica.state == "crashed" else tone),
        Span(f"{f.share(replica.cpu_cores):>6} {f.memory(replica.memory_bytes):>7}  {f.span(replica.age_s):<7} "),
        Span(f"{replica.restarts:>8}", "warn" if replica.restarts else "dim"),
        Span(f"  {replica.pid}  {safe(replica.address)}", "dim"),
    )
