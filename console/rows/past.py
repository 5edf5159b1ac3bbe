"""The floor as of an earlier minute: what was measured then, against the objectives of now."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from analytics.moments import ago, told
from console.rows import Line, Row, Span, Tone, behind, plain, words
from console.rows import figures as f
from console.text import fit, safe

if TYPE_CHECKING:
    from console.past import Past
    from shop_stack.operations.model import ServiceView

NOW_ALONE = "Health, advice, logs: known of now alone."
_MINUTES = 10  # of a service's replicas


@dataclass(frozen=True)
class ServiceThen:
    """A service in its last measured minute; None where nothing was measured. Rates are requests a second.

    `rates` are those of each minute of the hour before, oldest first; `waiting_s` is the age of its oldest event.
    """

    name: str
    minute: datetime
    origin: str
    ready: int | None
    wanted: int | None
    rate: float | None
    error_rate: float
    p95_ms: float | None
    lag: int | None
    waiting_s: float
    orders_waiting: int
    waiting_minor: int
    cpu_cores: float | None
    rates: tuple[float, ...]
    objective_p95_ms: float | None
    objective_error_rate: float | None

    @property
    def faults(self) -> list[str]:
        """What was beyond its objective or short, in few words."""
        found = []
        if self.ready is not None and self.wanted is not None and (self.ready < self.wanted or not self.wanted):
            found.append(f"{self.ready} of {self.wanted} replicas ready")
        if self.p95_ms is not None and self.objective_p95_ms is not None and self.p95_ms > self.objective_p95_ms:
            found.append(f"p95 {f.milliseconds(self.p95_ms)}, objective {f.milliseconds(self.objective_p95_ms)}")
        if self.objective_error_rate is not None and self.error_rate > self.objective_error_rate:
            found.append(f"errors {f.share(self.error_rate)}, objective {f.share(self.objective_error_rate)}")
        if self.waiting_s >= behind.LATE_S:
            found.append(f"{f.span(self.waiting_s)} behind")
        return found


def services_then(past: "Past", known: "Sequence[ServiceView]") -> list[ServiceThen]:
    """Every service measured within five minutes before, in the stack's order; `known` are those of now."""
    minutes: dict[str, dict[datetime, Mapping[str, Any]]] = {}
    for row in sorted(past.services, key=lambda row: row["origin"] == "live"):  # live ones replace made-up ones
        minutes.setdefault(str(row["service"]), {})[moment(row["minute"])] = row
    groups = {str(row["group"]): row for row in past.groups}
    replicas = {str(row["service"]): row for row in past.replicas}
    views = {view.name: view for view in known}
    order = [*views, *sorted(set(minutes) - set(views))]
    found = (
        _then(name, minutes[name], groups.get(name), replicas.get(name), views.get(name), past.at)
        for name in order
        if name in minutes
    )
    return [one for one in found if past.at - one.minute <= timedelta(minutes=5)]


def _then(
    name: str,
    minutes: Mapping[datetime, Mapping[str, Any]],
    group: Mapping[str, Any] | None,
    replicas: Mapping[str, Any] | None,
    view: "ServiceView | None",
    at: datetime,
) -> ServiceThen:
    last = max(minutes)
    row = minutes[last]
    each = (minutes.get(at - timedelta(minutes=ago)) for ago in range(60, 0, -1))
    return ServiceThen(
        name=name,
        minute=last,
        origin=str(row["origin"]),
        ready=row["ready"],
        wanted=replicas["wanted"] if replicas and moment(replicas["minute"]) == last else None,
        rate=_a_second(row),
        error_rate=row["error_rate"],
        p95_ms=row["p95_ms"],
        lag=row["lag"],
        waiting_s=(group["seconds"] or 0.0) if group else 0.0,
        orders_waiting=(group["orders_waiting"] or 0) if group else 0,
        waiting_minor=(group["waiting_minor"] or 0) if group else 0,
        cpu_cores=row["cpu_cores"],
        rates=tuple((_a_second(one) or 0.0) if one else 0.0 for one in each),
        objective_p95_ms=view.objective_p95_ms if view else None,
        objective_error_rate=view.objective_error_rate if view else None,
    )


def _a_second(row: Mapping[str, Any]) -> float | None:
    each_minute = row["requests_per_minute"]
    return None if each_minute is None else each_minute / 60


def moment(text: object) -> datetime:
    """A time as analytics writes it, UTC."""
    at = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def banner(at: datetime, reading: bool, now: datetime, zone: tzinfo, width: int) -> Line:
    """The line that says that nothing is of now, and the way back."""
    said = f"LOOKING BACK: as of {told(at, zone)}, {ago(at, now)} ago" + (" · reading…" if reading else "")
    ends = (Span("n", press="now"), Span(": back to now", press="now"))
    room = width - len(said) - len(plain(ends))
    return (Span(said), Span(" " * room), *ends) if room > 0 else (Span(fit(said, width)),)


def day_then(at: datetime, zone: tzinfo) -> str:
    """`Sat 28 Nov until 09:30`, before the vital signs."""
    return f"{at.astimezone(zone):%a %d %b until %H:%M}"


def trouble_then(services: Sequence[ServiceThen], opened: Span | None, width: int) -> Line:
    """Incidents that were open, and the service that was in most trouble; else that nothing was."""
    spans = [opened._replace(text=f"{opened.text}  ")] if opened else []
    worst = worst_then(services)
    if worst is not None:
        said = f"! {safe(worst.name)}: {'; '.join(worst.faults)}"
        return (*spans, Span(fit(said, max(10, width - len(plain(tuple(spans))))).rstrip(), "warn", "go_worst"))
    if spans:
        return tuple(spans)
    if not services:
        return (Span("no incident was open; no service was measured in the five minutes before", "warn"),)
    return (Span(f"no incident was open; all {len(services)} services were within their objectives", "ok"),)


def worst_then(services: Sequence[ServiceThen]) -> ServiceThen | None:
    """The service with the most faults, one without a ready replica before all; None when none has any."""
    graded = [(one.ready == 0, len(one.faults), -i) for i, one in enumerate(services) if one.faults]
    return services[-max(graded)[2]] if graded else None


class _Column(NamedTuple):
    title: str
    width: int
    align: str
    cell: Callable[[ServiceThen], Span]


def _mark(one: ServiceThen) -> Span:
    if not one.faults:
        return Span(" ")
    return Span("✖", "bad") if one.ready == 0 and one.wanted else Span("!", "warn")


def _ready(one: ServiceThen) -> Span:
    ready = f.NOTHING if one.ready is None else str(one.ready)
    short = one.wanted is not None and (one.ready is None or one.ready < one.wanted or not one.wanted)
    return Span(f"{ready}/{f.NOTHING if one.wanted is None else one.wanted}", "warn" if short else "plain")


def _errors(one: ServiceThen) -> Span:
    over = one.objective_error_rate is not None and one.error_rate > one.objective_error_rate
    return Span(f"{f.share(one.error_rate)}!"[:5], "bad") if over else Span(f.share(one.error_rate), "dim")


def _p95(one: ServiceThen) -> Span:
    over = one.p95_ms is not None and one.objective_p95_ms is not None and one.p95_ms > one.objective_p95_ms
    return Span(f.milliseconds(one.p95_ms) + ("!" if over else ""), "bad" if over else "plain")


def _waits(one: ServiceThen) -> Span:
    if one.waiting_s <= 0:
        return Span(f.NOTHING, "dim")
    return Span(f.age(one.waiting_s), "warn" if one.waiting_s >= behind.LATE_S else "plain")


_COLUMNS = (
    _Column("", 1, "left", _mark),
    _Column("SERVICE", 15, "left", lambda one: Span(safe(one.name), "strong")),
    _Column("REPL", 5, "left", _ready),
    _Column("REQ/S", 5, "right", lambda one: Span(f.rate(one.rate))),
    _Column("ERR", 5, "right", _errors),
    _Column("P95", 6, "right", _p95),
    _Column("LAG", 4, "right", lambda one: Span(f.NOTHING if one.lag is None else f.count(one.lag))),
    _Column("WAITS", 5, "right", _waits),
    _Column("CPU", 5, "right", lambda one: Span(f.share(one.cpu_cores), "dim")),
)


def heading_then(width: int) -> Line:
    """The table's first line."""
    cells = (f"{fit(c.title, c.width, c.align)} " for c in _COLUMNS)
    return (Span("".join(cells) + fit("THE HOUR BEFORE", _room(width), "right"), "head"),)


def table_then(services: Sequence[ServiceThen], width: int) -> list[Row]:
    """A row a service; the last column is its rate in each minute of the hour before."""
    return [Row(one.name, _row(one, width)) for one in services]


def _row(one: ServiceThen, width: int) -> Line:
    cells = [(column, column.cell(one)) for column in _COLUMNS]
    spans = [Span(fit(span.text, c.width, c.align) + " ", span.tone) for c, span in cells]
    return (*spans, Span(f.sparkline(one.rates, _room(width)), "spark"))


def _room(width: int) -> int:
    return min(60, max(0, width - sum(column.width + 1 for column in _COLUMNS)))


def why_then(one: ServiceThen | None, at: datetime, currency: str, zone: tzinfo) -> tuple[Line, Line]:
    """Two lines on one service: how it was in its last minute, and what is not kept."""
    if one is None:
        return (), words(NOW_ALONE, "dim")
    made_up = "" if one.origin == "live" else f" ({safe(one.origin)} data)"
    late = one.minute != at - timedelta(minutes=1)
    which = f"in the minute from {one.minute.astimezone(zone):%H:%M}" if late else "in the minute before"
    tone: Tone = "warn" if one.faults else "strong"
    said = "; ".join(one.faults) or "within its objectives"
    first = Span(f"{safe(one.name)} {which}{made_up}", tone), Span(f": {said}")
    return first, (Span(_waiting(one, currency)), Span(NOW_ALONE, "dim"))


def _waiting(one: ServiceThen, currency: str) -> str:
    if not one.orders_waiting:
        return ""
    plural = "" if one.orders_waiting == 1 else "s"
    return f"{f.count(one.orders_waiting)} order{plural} waited, worth {f.money(one.waiting_minor, currency)}. "


def topic_rows(past: "Past", width: int) -> list[Row]:
    """A row a topic: its events in the last minute and hour, and in each minute of that hour."""
    by_topic: dict[str, dict[datetime, int]] = {}
    for row in past.topics:
        by_topic.setdefault(str(row["topic"]), {})[moment(row["minute"])] = row["events"]
    head = f"{'EVENTS OF':<20} {'LAST MIN':>8} {'HOUR':>7}  IN EACH MINUTE OF IT"
    rows = [_topic(name, counts, past.at, width) for name, counts in sorted(by_topic.items())]
    return [Row("head:topics", words(head, "head")), *rows] if rows else []


def _topic(name: str, counts: Mapping[datetime, int], at: datetime, width: int) -> Row:
    each = [float(counts.get(at - timedelta(minutes=ago), 0)) for ago in range(60, 0, -1)]
    figures = f"{f.count(each[-1]):>8} {f.count(sum(each)):>7}  "
    return Row(
        f"topic:{name}",
        (
            Span(fit(safe(name), 20) + " ", "strong"),
            Span(figures),
            Span(f.sparkline(each, min(60, width - 39)), "spark"),
        ),
    )


def replica_minute_rows(past: "Past", service: str, zone: tzinfo) -> list[Row]:
    """The service's replicas in each of the last minutes, newest first, then where its events waited."""
    minutes = [row for row in past.replicas if row["service"] == service][-_MINUTES:]
    head = f"{'MINUTE':<8} {'WANTED':>6} {'READY':>6} {'LEAST':>6} {'MOST':>6}  SHORT OF THEM FOR"
    rows = [Row("head:minutes", words(head, "head"))] if minutes else []
    rows += [_replica_minute(row, zone) for row in reversed(minutes)]
    waited = [row for row in past.partitions if row["group"] == service]
    last = max((str(row["minute"]) for row in waited), default="")
    rows += [_partition(row, zone) for row in waited if str(row["minute"]) == last]
    return rows


def _replica_minute(row: Mapping[str, Any], zone: tzinfo) -> Row:
    counts = (row["wanted"], row["ready"], row["least_ready"], row["most_ready"])
    short = row["short_seconds"] or 0.0
    line = (
        Span(f"{moment(row['minute']).astimezone(zone):%H:%M}    "),
        Span("".join(f"{f.NOTHING if n is None else n:>6} " for n in counts)),
        Span(f" {f.span(short)}" if short else f" {f.NOTHING}", "warn" if short >= 1 else "dim"),
    )
    return Row(f"minute:{row['minute']}", line)


def _partition(row: Mapping[str, Any], zone: tzinfo) -> Row:
    where = f"{safe(row['topic'])}/{row['partition']}"
    waited = f"{f.count(row['lag'])} events waited, the oldest {f.span(row['seconds'] or 0.0)}"
    text = (
        f"{moment(row['minute']).astimezone(zone):%H:%M}    {where}: {waited}, {f.share(row['share'])} of the group's"
    )
    return Row(f"partition:{where}", words(text))
