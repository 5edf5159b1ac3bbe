"""Scaling: how many replicas, what that promises, and why; nothing happens before Enter."""

from typing import TYPE_CHECKING

from console.feed import Feed
from console.rows import Line, Span, folded, words
from console.rows import figures as f
from console.rows.services import symptom
from console.screens.dialog import ActionDialog
from console.text import safe
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from shop_stack.operations.model import Expectation, ServiceView


def suggested(service: "ServiceView") -> int:
    """The number to begin with: the advised one when it differs, else one more than now, within the bounds."""
    advised = service.recommended
    number = advised if advised is not None and advised != service.desired else service.desired + 1
    return max(service.min_replicas, min(number, service.max_replicas))


def reason(service: "ServiceView") -> str:
    """A reason to begin with: what is wrong now, else why the advice was given."""
    advised = safe(service.recommended_because) if service.recommended is not None else ""
    return symptom(service) or advised or "expecting more shoppers"


class ScaleDialog(ActionDialog):
    """The promise is asked for with every change of the number, and shown with both figures of today."""

    def __init__(self, service: "ServiceView", feed: Feed) -> None:
        super().__init__(f"scale {safe(service.name)}", reason(service)[:200], feed)
        self._service = service
        self.replicas = suggested(service)
        self._expected: Expectation | None = None
        self._zero_said = False
        self._force_said = False

    def step(self, by: int) -> None:
        """One more or fewer, within the bounds."""
        service = self._service
        self.replicas = max(service.min_replicas, min(self.replicas + by, service.max_replicas))
        self.changed()

    def changed(self) -> None:
        """Show the number and ask what it promises."""
        self._zero_said, self._force_said, self._expected = False, False, None
        self.say("")
        self.query_one("#choice", Lines).show(self._choice(), self._companions())
        self.query_one("#effect", Lines).show(words("asking what to expect…", "dim"))
        name, number = self._service.name, self.replicas

        def take(answer: "Expectation | Exception") -> None:
            if self.is_attached and number == self.replicas:
                self._show_effect(answer)

        self.feed.ask(lambda client: client.expectation(name, number), take)

    def _choice(self) -> Line:
        service = self._service
        bounds = f"bounds {service.min_replicas} to {service.max_replicas}"
        advised = f", advised {service.recommended}" if service.recommended is not None else ""
        return (
            Span("Replicas  ", "dim"),
            Span("[−]", "key", "fewer"),
            Span(f"  {service.desired} → {self.replicas}  ", "strong"),
            Span("[+]", "key", "more"),
            Span(f"   {bounds}{advised}", "dim"),
        )

    def _companions(self) -> Line:
        if not self._service.moves_with:
            return words("Only this service moves.", "dim")
        return words(f"Moves with it: {', '.join(map(safe, self._service.moves_with))} (one process group)", "warn")

    def _show_effect(self, answer: "Expectation | Exception") -> None:
        effect = self.query_one("#effect", Lines)
        if isinstance(answer, Exception):
            effect.show(words(f"no expectation: {safe(answer)}", "bad"))
            return
        self._expected = answer
        effect.show(*_promise(answer, effect.size.width))

    def act(self) -> None:
        """Ask for it; none at all, or again so soon, needs a second Enter."""
        expected = self._expected
        forces = expected is not None and expected.rests_s > 0
        if expected is not None and expected.refused and not (forces and self._force_said):
            self._force_said = True
            again = " with one more Enter" if forces else ""
            self.say(f"{expected.refused}{again}", "bad")
            return
        if self.replicas == 0 and not self._zero_said:
            self._zero_said = True
            self.say(f"0 replicas: {self._service.name} stops answering. Enter once more to do it.", "bad")
            return
        self.busy = True
        self.say("asking…", "dim")
        name, number, why, zero = self._service.name, self.replicas, self.reason, self.replicas == 0
        self.feed.ask(lambda client: client.scale(name, number, why, confirm_zero=zero, force=forces), self.took)


def _promise(expected: "Expectation", width: int) -> list[Line]:
    if expected.refused:
        return folded(f"refused: {safe(expected.refused)}", width, 3, "bad")
    figures: Line = (
        Span("Expected  ", "dim"),
        Span(f"used {f.share(expected.utilisation_now)} → {f.share(expected.utilisation_then)}", "strong"),
        Span(f"   p95 {f.milliseconds(expected.p95_now_ms)} → {f.milliseconds(expected.p95_then_ms)}", "strong"),
    )
    return [figures, *folded(safe(expected.words), width, 3)]
