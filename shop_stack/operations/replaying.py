"""Dead letters seen from operations: what is parked where, and a replay over services at a bounded rate."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.eventlog.dead_letters import Choice, Round, histogram
from shop_stack.eventlog.inbox import Stopped
from shop_stack.hosting.group import REPLAY_PATH, ReplayRound
from shop_stack.hosting.topology import Topology
from shop_stack.operations.asking import Replicas
from shop_stack.operations.model import DeadLetterView, ReplayPreview, ReplayRequest
from shop_stack.runtime.interface import Runtime

FASTEST_PER_S = 1000.0
_ROUNDS_PER_S = 4
_NAMED_ERRORS = 3
T = TypeVar("T")


class DeadLetters:
    """Asks ready replicas for what their services have parked, and to try it again."""

    def __init__(self, topology: Topology, runtime: Runtime, sleep: Callable[[float], None] = time.sleep) -> None:
        self._topology, self._replicas, self._sleep = topology, Replicas(topology, runtime), sleep

    def letters(self, services: Iterable[str] = ()) -> list[DeadLetterView]:
        """The dead letters of these services (of all without any), oldest first.

        Raises NotRunning when a service that may have some has no ready replica.
        """
        wanted = list(services) or [name for names in self._topology.groups.values() for name in names]
        found = [letter for name in wanted for letter in self._stopped(name)]
        return [_view(letter) for letter in sorted(found, key=lambda letter: letter.at)]

    def preview(self, request: ReplayRequest) -> ReplayPreview:
        """What a replay would try, by reason. Raises NotRunning, SettingError for an unknown service."""
        choice = _choice(request)
        all_of_them = [letter for name in self._services(request) for letter in self._stopped(name)]
        meant = [letter for letter in all_of_them if choice.means(letter)]
        return ReplayPreview(
            dead_letters=len(meant),
            events_behind=sum(letter.parked for letter in meant),
            by_reason=histogram(meant),
            by_service=dict(Counter(letter.consumer for letter in meant)),
            quarantined_left_out=sum(letter.quarantined for letter in all_of_them if letter not in meant),
        )

    def check(self, request: ReplayRequest) -> None:
        """Raise ActionRefused unless this replay may be begun."""
        if not 0 < request.rate_per_s <= FASTEST_PER_S:
            raise ActionRefused(f"rate_per_s is {request.rate_per_s:g}; it may be above 0 and up to {FASTEST_PER_S:g}")
        if self.preview(request).dead_letters == 0:
            raise ActionRefused("no dead letter is meant by this; look at them first (a dry run shows them)")

    def replay(self, request: ReplayRequest) -> str:
        """Try again what is meant, at most `rate_per_s` dead letters a second; the outcome in a sentence.

        Raises NotRunning when a service stops answering.
        """
        outcomes: Counter[str] = Counter()
        errors: list[str] = []
        handled = 0
        for name in self._services(request):
            for done in self._rounds(name, request):
                outcomes.update(done.outcomes)
                errors += done.errors
                handled += done.events_handled
        return _sentence(outcomes, handled, errors)

    def _rounds(self, service: str, request: ReplayRequest) -> Iterable[Round]:
        without: list[tuple[str, str]] = []
        limit = max(1, int(request.rate_per_s / _ROUNDS_PER_S))
        while True:
            asked = ReplayRound(
                service=service, choice=_choice(request), limit=limit, without=without, discard=request.discard
            )
            done = self._ask(service, "POST", REPLAY_PATH, msgspec.json.encode(asked), Round)
            if not done.done:
                return
            yield done
            without += done.done
            self._sleep(len(done.done) / request.rate_per_s)

    def _services(self, request: ReplayRequest) -> Sequence[str]:
        if request.service:
            self._topology.group_of(request.service)
            return [request.service]
        return [name for names in self._topology.groups.values() for name in names]

    def _stopped(self, service: str) -> list[Stopped]:
        found = self._ask(service, "GET", "/stopped", b"", list[Stopped])
        return [letter for letter in found if letter.consumer == service]

    def _ask(self, service: str, method: str, path: str, body: bytes, shape: type[T]) -> T:
        status, content = self._replicas.ask(service, method, path, body)
        if status != 200:
            raise NotRunning(f"{service} answered {status} about its dead letters; see its log")
        try:
            return msgspec.json.decode(content, type=shape)
        except msgspec.MsgspecError as error:
            raise NotRunning(f"{service} runs another version: its dead letters cannot be read ({error})") from error


def _choice(request: ReplayRequest) -> Choice:
    return Choice(
        topic=request.topic,
        aggregate=request.aggregate,
        event_id=request.event_id,
        error=request.error,
        quarantined=request.quarantined,
    )


def _view(letter: Stopped) -> DeadLetterView:
    return DeadLetterView(
        service=letter.consumer,
        topic=letter.topic,
        aggregate=letter.aggregate,
        event_id=letter.event_id,
        partition=letter.partition,
        position=letter.position,
        error=letter.error,
        attempts=letter.attempts,
        replays=letter.replays,
        quarantined=letter.quarantined,
        events_behind=letter.parked,
        parked_at=letter.at / 1_000_000,
    )


def _sentence(outcomes: Counter[str], handled: int, errors: list[str]) -> str:
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()) or "nothing was left to try"
    kinds = ", ".join(f"{count} x {words[:120]}" for words, count in Counter(errors).most_common(_NAMED_ERRORS))
    return f"{told}; {handled} events had their effect" + (f"; {kinds}" if kinds else "")
