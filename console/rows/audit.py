"""The books as last audited: the verdict in a sentence, a line an invariant, and what contradicts one of them."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from console.rows import Line, Row, Span, Tone, folded, words
from console.rows import figures as f
from console.rows.invariants import meaning_of
from console.text import fit, safe

if TYPE_CHECKING:
    from shop_stack.operations.audit import Invariant, Report, Status

WIDE = 140
OLD = timedelta(minutes=10)  # an audit tells of its moment; after so long it is said to be old
BEHIND = timedelta(seconds=60)
_STATUS: "dict[Status, tuple[str, Tone]]" = {
    "violated": ("✖ BROKEN", "bad"),
    "skipped": ("? skipped", "warn"),
    "explained": ("● explained", "warn"),
    "ok": ("✔ ok", "ok"),
}
_SHORT, _NAME = 40, 26
_COUNTS = (("ROWS", 6), ("BROKEN", 7), ("EXPL", 6), ("FLIGHT", 7))
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Audited(NamedTuple):
    """The last report (None: none yet), when it came, what failed since, and the audit under way.

    `since` is when that was asked for (None: none is under way), `strictly` whether it is a strict one, `waits`
    why it has not begun (somebody else's is to end first); `denied`: the failure is that this role may not audit.
    """

    report: "Report | None" = None
    made_at: datetime | None = None
    trouble: str = ""
    denied: bool = False
    since: datetime | None = None
    strictly: bool = False
    waits: str = ""


def verdict(report: "Report") -> tuple[str, Tone]:
    """The audit in one sentence: whether the books balance, and how many invariants hold."""
    every = len(report.invariants)
    broken, skipped, explained = (_of(report, status) for status in ("violated", "skipped", "explained"))
    holding = every - len(broken) - len(skipped) - len(explained)
    known = f", {len(explained)} differ{'s' * (len(explained) == 1)} for a known reason" if explained else ""
    if broken:
        which = f": {meaning_of(broken[0].name).short}" if len(broken) == 1 else ""
        unseen = f", {len(skipped)} skipped" if skipped else ""
        return f"THE BOOKS DO NOT BALANCE: {len(broken)} of {every} broken{unseen}{which}", "bad"
    if skipped:
        return f"Nothing is broken, but {len(skipped)} of {every} could not be looked at; {holding} hold{known}", "warn"
    if not report.orders:
        return f"Nothing to balance yet: no order was placed; {holding} of {every} invariants hold{known}", "plain"
    return f"The books balance: {holding} of {every} invariants hold{known}", "warn" if explained else "ok"


def _of(report: "Report", status: "Status") -> "list[Invariant]":
    return [found for found in report.invariants if found.status == status]


def title(audited: Audited, now: datetime, width: int) -> list[Line]:
    """Three lines: the verdict, what was audited when and how far, and what that means."""
    report, made_at = audited.report, audited.made_at
    if report is None or made_at is None:
        return _nothing_yet(audited, width)
    sentence, tone = verdict(report)
    stale = bool(audited.trouble)
    return [words(sentence, "dim" if stale else tone), _facts(report, made_at, now, width), _judged(report)]


def _nothing_yet(audited: Audited, width: int) -> list[Line]:
    if audited.waits:
        return [words("The books are audited once another audit has ended", "strong")]
    if audited.since is not None:
        return [words("The books are being audited", "strong"), words("it takes seconds, with many orders more", "dim")]
    said = "this role may not audit" if audited.denied else "no audit"
    return folded(f"{said}: {safe(audited.trouble)}" if audited.trouble else f"{said} yet", width, 3, "bad")


def _facts(report: "Report", made_at: datetime, now: datetime, width: int) -> Line:
    """How much was judged up to when, and how old the audit is; within 78 characters for 100,000 orders."""
    behind = made_at - report.watermark - timedelta(seconds=report.seconds)
    late = f" ({f.span(behind.total_seconds())} behind)" if behind > BEHIND else ""
    old = now - made_at > OLD
    clock = f" {f.clock(made_at)}," if width >= WIDE else ""
    ago, took = f.span((now - made_at).total_seconds()), f.milliseconds(report.seconds * 1000)
    return (
        Span(f"{report.orders:,} orders, {report.records:,} records up to {f.zoned(report.watermark)}"),
        Span(late, "warn"),
        Span(f"{'; OLD' if old else ''}, audited{clock} {ago} ago in {took}", "warn" if old else "dim"),
    )


def _judged(report: "Report") -> Line:
    """Below the watermark or strictly, and what that means for what moves."""
    moving = sum(found.in_flight for found in report.invariants)
    if report.strict:
        return words("strict: what is on its way counts as broken; for a shop at rest (r: not so)", "warn")
    if moving:
        return words(f"{moving:,} in flight: younger than that or on its way, not broken (s: counts so)", "dim")
    if report.quiet:
        return words("quiet: nothing was on its way, so everything was judged (s: judges strictly)", "dim")
    return words("not quiet: what is younger than that was not judged (s: judges strictly)", "dim")


def under_way(audited: Audited, now: datetime, width: int) -> list[Line]:
    """That an audit runs, since when, and how long the last one took; or that none came; nothing when all is well."""
    if audited.since is not None:
        kind = "a strict audit" if audited.strictly else "an audit"
        took = f"; the last took {f.milliseconds(audited.report.seconds * 1000)}" if audited.report else ""
        waited = f.span((now - audited.since).total_seconds())
        begun = f"{kind} {'waits' if audited.waits else 'runs'} since {f.zoned(audited.since)}, {waited}"
        return folded(begun + (f": {safe(audited.waits)}" if audited.waits else took), width, 2, "warn")
    if not audited.trouble or audited.report is None:
        return []
    said = "this role may not audit" if audited.denied else "no newer audit"
    return folded(f"STALE: {said}: {safe(audited.trouble)}; r asks again", width, 3, "bad")


def placeholder(audited: Audited, width: int) -> tuple[Line, ...]:
    """What stands in an empty list."""
    if audited.since is not None or not audited.trouble:
        told = "held against each other: orders, money, stock, parcels, events, analytics, the record of actions, "
        return tuple(folded(f"{told}and the payment provider's own ledger", width, 3, "dim"))
    if audited.denied:
        return (words("any of the operators' tokens may, of this home: see shopfloor up --help; Esc goes back", "dim"),)
    return (words("r asks again; shopfloor status says what is down; Esc goes back", "dim"),)


def heading(width: int) -> Line:
    """The list's first line."""
    name, last = (fit("NAME", _NAME) + " ", "  THE FIRST, OR WHY") if width >= WIDE else ("", "")
    numbers = "".join(fit(column, size, "right") for column, size in _COUNTS)
    return (Span(f"{fit('STATUS', 12)}{name}{fit('INVARIANT', _SHORT)}{numbers}{last}", "head"),)


def rows(audited: Audited, width: int) -> list[Row]:
    """A row each, what needs somebody first; dimmed when the answer is old."""
    if audited.report is None:
        return []
    order: list[Status] = list(_STATUS)
    found = sorted(audited.report.invariants, key=lambda one: order.index(one.status))
    return [Row(one.name, _row(one, width, bool(audited.trouble))) for one in found]


def _row(found: "Invariant", width: int, stale: bool) -> Line:
    word, tone = _STATUS[found.status]
    name = fit(safe(found.name), _NAME) + " " if width >= WIDE else ""
    counts = (found.rows_checked, found.violations, found.explained, found.in_flight)
    tones: tuple[Tone, ...] = ("plain", "bad", "warn", "accent")
    spans = [
        Span(fit(word, 12), tone),
        Span(name, "dim"),
        Span(fit(safe(meaning_of(found.name).short), _SHORT), "strong" if found.status != "ok" else "plain"),
        *(_counted(number, size, tone) for number, (_, size), tone in zip(counts, _COUNTS, tones, strict=True)),
    ]
    if width >= WIDE:
        spans.append(Span("  " + _told(found), tone if found.status != "ok" else "dim"))
    return tuple(span._replace(tone="dim") if stale else span for span in spans)


def _counted(number: int, size: int, tone: Tone) -> Span:
    return Span(fit(f.count(number) if number else f.NOTHING, size, "right"), tone if number else "dim")


def _told(found: "Invariant") -> str:
    """The first that contradicts it, or what its reader should know."""
    return short(found.counter_examples[0]) if found.counter_examples else safe(found.because)


def explain(found: "Invariant", width: int, height: int) -> list[Line]:
    """The chosen one in four lines or as many as there are: name and counts, what it means, what was found."""
    word, tone = _STATUS[found.status]
    checked = Span(f": {_checked(found)} checked", "dim")
    first: Line = (Span(f"{word} ", tone), Span(safe(found.name), "strong"), checked)
    lines = [first, *folded(meaning_of(found.name).sentence, width, 2)]
    if len(found.counter_examples) > 1 and height > len(lines) + 2:
        lines += [words("Enter shows what to do about", tone)]
        lines += [words(safe(one)) for one in found.counter_examples[: height - len(lines)]]
    elif found.counter_examples:
        lines.append(words("Enter shows " + _examples(found), tone))
    elif found.because:
        lines += folded(safe(found.because), width, 2, tone if found.status == "skipped" else "dim")
    return lines


def _examples(found: "Invariant") -> str:
    shown, all_of_them = len(found.counter_examples), found.violations or found.explained
    if shown == 1:
        return f"it: {short(found.counter_examples[0])}"
    return f"{shown} of {all_of_them}, the first: {short(found.counter_examples[0])}"


def _checked(found: "Invariant") -> str:
    counts = ((found.violations, "broken"), (found.explained, "explained"), (found.in_flight, "in flight"))
    told = [f"{number:,} {word}" for number, word in counts if number]
    return ", ".join([*told, f"{found.rows_checked:,} row{'' if found.rows_checked == 1 else 's'}"])


def finding_title(found: "Invariant") -> Line:
    """The title of one invariant's own screen."""
    word, tone = _STATUS[found.status]
    return Span(f"{word}: ", tone), Span(meaning_of(found.name).short, "strong"), Span(f"; {_checked(found)}", "dim")


def example_rows(found: "Invariant", width: int) -> list[Row]:
    """A row a counter-example; in a narrow place a long id shows its end."""
    tone = _STATUS[found.status][1]
    told = found.counter_examples if width >= WIDE else map(short, found.counter_examples)
    return [Row(str(at), _example(safe(one), tone)) for at, one in enumerate(told)]


def _example(sentence: str, tone: Tone) -> Line:
    subject, blank, said = sentence.partition(" ")
    return Span(f" {subject}", tone), Span(blank + said)


def nothing_against(found: "Invariant", width: int) -> tuple[Line, ...]:
    """What stands in the list of an invariant that nothing contradicts."""
    if found.status == "skipped":
        return tuple(folded(f"it could not be looked at: {safe(found.because)}", width, 4, "warn"))
    said = words("there was nothing to check", "dim")
    if found.rows_checked:
        said = words(f"nothing contradicts it in {found.rows_checked:,} rows", "ok")
    return (said, *folded(safe(found.because), width, 3, "dim"))


def next_step(found: "Invariant", example: str, width: int) -> list[Line]:
    """The chosen counter-example whole, what the invariant says, and what to do next."""
    lines = folded(safe(example), width, 3, "strong") if example else []
    lines += _titled("says", f"{meaning_of(found.name).sentence} ({safe(found.name)})", width)
    return [*lines, *_titled("next", _next(found), width)]


def _titled(name: str, text: str, width: int) -> list[Line]:
    parts = folded(text, width - 6, 3)
    return [(Span(fit("" if at else name, 6), "dim"), *part) for at, part in enumerate(parts)]


def _next(found: "Invariant") -> str:
    if found.status == "violated":
        return meaning_of(found.name).remedy
    if found.status == "explained":
        return "an open incident (i) or a dead letter (x) names each: once that is mended it goes, and r says so"
    if found.status == "skipped":
        return "start what is missing (shopfloor status says what), then r audits again"
    return "nothing is to be done"


def order_of(found: "Invariant", example: str) -> str:
    """The order that a counter-example begins with, or may begin with; empty when it is about something else."""
    subject = example.partition(" ")[0]
    return subject if meaning_of(found.name).about != "other" and _ID.fullmatch(subject) else ""


def short(example: str) -> str:
    """A counter-example in which a long id at the beginning shows its end alone."""
    subject, blank, said = safe(example).partition(" ")
    return f"…{subject[-8:]}{blank}{said}" if _ID.fullmatch(subject) else subject + blank + said


def news(audited: Audited) -> tuple[str, Tone] | None:
    """What to tell on the floor of an audit that ended while nobody looked at it."""
    if audited.trouble:
        return f"no audit: {safe(audited.trouble)}", "bad"
    if audited.report is None:
        return None
    sentence, tone = verdict(audited.report)
    return f"{'judged strictly: ' if audited.report.strict else ''}{sentence}; b shows it", tone


def find(report: "Report | None", name: str | None) -> "Invariant | None":
    """One invariant of a report."""
    invariants: Sequence[Invariant] = report.invariants if report else ()
    return next((found for found in invariants if found.name == name), None)
