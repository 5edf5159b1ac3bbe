"""The books: the verdict of an audit, a line an invariant, and the way to what contradicts one."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from console import actions
from console.rows import Line, Span, audit
from console.widgets.line_list import LineList
from console.widgets.lines import Lines

if TYPE_CHECKING:
    from console.auditor import Auditor
    from console.screens.view import FloorView
    from shop_stack.operations.audit import Invariant


TALL = 40  # lines from which every invariant and ten counter-examples have room


class AuditScreen(Screen[None]):
    """Asks for an audit when there is none yet; the auditor is the floor's, so that leaving loses nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        *actions.bindings("books"),
    ]

    def __init__(self, floor: "FloorView", auditor: "Auditor") -> None:
        super().__init__()
        self._floor = floor
        self._auditor = auditor
        self._shown_at = auditor.audited.made_at

    def compose(self) -> ComposeResult:
        """Verdict, list, details, the audit under way, keys."""
        yield Lines(id="verdict")
        yield LineList(id="steps", heading=True)
        yield Lines(id="details")
        yield Lines(id="letters-said")
        yield Lines(id="journey-keys")

    def on_mount(self) -> None:
        """Show what is known, and ask when nothing is."""
        self.query_one("#steps", LineList).focus()
        self.query_one("#letters-said").display = False
        keys: Line = (
            Span("Enter", "key"), Span(" what contradicts it   ", "dim"),
            Span("r", "key", "again"), Span(" audit again   ", "dim", "again"),
            Span("s", "key", "strict"), Span(" strictly   ", "dim", "strict"),
            Span("Esc", "key", "leave"), Span(" back", "dim", "leave"),
        )  # fmt: skip
        self.query_one("#journey-keys", Lines).show(keys)
        if self._auditor.audited.report is None:
            self._auditor.ask()
        self.call_after_refresh(self.paint)
        self.set_interval(1.0, self._tick)

    @property
    def chosen(self) -> "Invariant | None":
        """The invariant with the cursor."""
        return audit.find(self._auditor.audited.report, self.query_one("#steps", LineList).selected)

    def _tick(self) -> None:
        self._auditor.look()
        self.paint()

    def paint(self) -> None:
        """Bring every line up to date; only what changed is drawn."""
        if not self.is_attached or self.app.screen is not self:
            return
        audited, now, width = self._auditor.audited, self._floor.now(), self.size.width - 2
        self.query_one("#verdict", Lines).show(*audit.title(audited, now, width))
        self.query_one("#steps", LineList).set_rows(
            audit.rows(audited, width),
            heading=audit.heading(width) if audited.report else (),
            placeholder=audit.placeholder(audited, width),
        )
        said = self.query_one("#letters-said", Lines)
        said.show(*(lines := audit.under_way(audited, now, width)))
        said.styles.height, said.display = max(1, len(lines)), bool(lines)
        if audited.made_at != self._shown_at:
            self._shown_at = audited.made_at
            self.query_one("#steps", LineList).action_first()
        self._paint_details()

    def _paint_details(self) -> None:
        found, details = self.chosen, self.query_one("#details", Lines)
        details.show(*audit.explain(found, self.size.width - 2, details.size.height) if found else ())

    def on_resize(self) -> None:
        """Another size: other columns, and more of the details."""
        self.set_class(self.size.height >= TALL, "-tall")
        self.call_after_refresh(self.paint)

    def on_screen_resume(self) -> None:
        """Back in sight."""
        self.paint()

    def on_line_list_moved(self) -> None:
        """Another one: its details."""
        self._paint_details()

    def on_line_list_opened(self) -> None:
        """Enter: its counter-examples, and what to do."""
        if found := self.chosen:
            from console.screens.finding import Finding

            self.app.push_screen(Finding(found, self._floor))

    def action_again(self) -> None:
        """Audit once more, below the watermark."""
        self._auditor.ask()
        self.paint()

    def action_strict(self) -> None:
        """Audit once more, and count what is in flight as broken."""
        self._auditor.ask(strict=True)
        self.paint()

    def action_leave(self) -> None:
        """Back to the floor; an audit under way goes on, and the floor tells its verdict."""
        self.dismiss()
