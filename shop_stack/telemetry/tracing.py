"""Spans of what a process does: requests, events handled, calls outside. Nobody listens unless an exporter is set."""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from shop_stack.telemetry.collector import endpoint

Kind = Literal["server", "consumer", "client", "internal"]
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


@dataclass
class Span:
    """One piece of work: times are nanoseconds since 1970, ids are in hexadecimal as W3C's Trace Context has them.

    https://www.w3.org/TR/trace-context/
    """

    service: str
    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    end_ns: int = 0
    failed: bool = False
    attributes: dict[str, str | int] = field(default_factory=dict)

    @property
    def traceparent(self) -> str:
        """What this span's own work is caused by."""
        return f"00-{self.trace_id}-{self.span_id}-01"


Exporter = Callable[[Span], None]
_exporter: Exporter | None = None
here: ContextVar[str | None] = ContextVar("here", default=None)
"""The traceparent of the span that the present work is part of."""


def export_to(exporter: Exporter | None) -> None:
    """Hand every span of this process that ends to `exporter`, which must not block; None: make none."""
    global _exporter
    _exporter = exporter


@contextmanager
def exporting_spans(replica: str) -> Iterator[None]:
    """Within it spans go to the collector that the environment names; without one nothing is imported or sent.

    Raises SettingError.
    """
    address = endpoint()
    if address is None:
        yield
        return
    from shop_stack.telemetry.spans import SpanExporter

    exporter = SpanExporter(address, replica)
    exporter.start()
    export_to(exporter.add)
    try:
        yield
    finally:
        export_to(None)
        exporter.stop()


def listened_to() -> bool:
    """Whether spans are made at all."""
    return _exporter is not None


def begin(service: str, name: str, kind: Kind, traceparent: str | None) -> Span | None:
    """A span under the one that `traceparent` names, else of a new trace; None when nobody listens."""
    if _exporter is None:
        return None
    parent = _TRACEPARENT.fullmatch(traceparent) if traceparent is not None else None
    trace_id, parent_id = (parent[1], parent[2]) if parent is not None else (secrets.token_hex(16), None)
    return Span(service, name, kind, trace_id, secrets.token_hex(8), parent_id, time.time_ns())


def end(span: Span, failed: bool = False) -> None:
    """The span's work is done."""
    span.end_ns, span.failed = time.time_ns(), failed
    if _exporter is not None:
        _exporter(span)


@contextmanager
def within(
    service: str, name: str, kind: Kind, traceparent: str | None, attributes: Mapping[str, str | int]
) -> Iterator[Span | None]:
    """A span around the block, which fails when the block raises; `here` names it within."""
    span = begin(service, name, kind, traceparent)
    if span is None:
        yield None
        return
    span.attributes.update(attributes)
    token = here.set(span.traceparent)
    failed = True
    try:
        yield span
        failed = False
    finally:
        here.reset(token)
        end(span, failed)


@contextmanager
def calling(service: str, name: str) -> Iterator[dict[str, str]]:
    """A client's span around the block, under `here`; the headers that tell who is called which trace this is."""
    with within(service, name, "client", here.get(), {}) as span:
        yield {} if span is None else {"traceparent": span.traceparent}
