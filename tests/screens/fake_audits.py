"""Audits as the fake server answers them: they last until a test lets them end, and find what it wants found."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from console.rows.invariants import MEANINGS
from shop_stack.operations.audit import Invariant, Report
from shop_stack.operations.model import Problem

ORDER = "01a21e73-8b60-75cb-b6ec-1527e76df4a0"


def invariant(name: str, status: str = "ok", *examples: str, **changes: Any) -> Invariant:
    """One as an audit finds it."""
    counted = {"violated": "violations", "explained": "explained"}.get(status)
    counts = {counted: len(examples)} if counted else {}
    given = {"rows_checked": 0 if status == "skipped" else 1234, **counts, **changes}
    return msgspec.convert({"name": name, "status": status, "counter_examples": list(examples), **given}, Invariant)


def report(*found: Invariant, **changes: Any) -> Report:
    """All invariants well but these."""
    other = {one.name: one for one in found}
    every = [other.pop(name, None) or invariant(name) for name in MEANINGS] + list(other.values())
    ok = all(one.status != "violated" for one in every)
    whole = Report(ok=ok, invariants=every, watermark=datetime.now(UTC), quiet=True, strict=False, orders=56,
                   records=3412, seconds=0.8)  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


@dataclass
class Audits:
    """What the server answers; `go` lets an audit end, `refusals` are how many it refuses before the next begins."""

    report: Report = field(default_factory=report)
    problem: tuple[int, str] | None = None
    refusals: int = 0
    go: threading.Event = field(default_factory=threading.Event)
    asked: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go.set()

    def answer(self, *, strict: bool) -> tuple[int, Report | Problem]:
        """An audit that was asked for, once it may end."""
        self.asked.append(strict)
        if self.refusals:
            self.refusals -= 1
            return 409, Problem(title="refused", status=409, detail="an audit is under way already; ask again")
        assert self.go.wait(30.0), "no test let the audit end"
        if self.problem:
            return self.problem[0], Problem(title="no", status=self.problem[0], detail=self.problem[1])
        return 200, msgspec.structs.replace(self.report, strict=strict, watermark=datetime.now(UTC))
