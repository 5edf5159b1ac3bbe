"""The checks of analytics' books as troubles: one for each that fails, for as long as analytics does not say better."""

from collections.abc import Sequence

from shop_stack.events import CheckJudged
from shop_stack.operations.projection import Projection
from shop_stack.operations.store import Store
from shop_stack.operations.troubles import Trouble

KIND = "check_failed"
_ABOUT, _SERVICE = "check/", "analytics"


class BookChecks:
    """What analytics last said of each check. What had failed when operations stopped fails until it is judged anew."""

    def __init__(self, projection: Projection, store: Store) -> None:
        self._projection = projection
        self._before = {
            about: Trouble(about, view.kind, view.service, view.summary)
            for about, view in store.open_incidents().items()
            if about.startswith(_ABOUT)
        }

    def troubles(self) -> Sequence[Trouble]:
        """One for each check that fails."""
        judged = {f"{_ABOUT}{verdict.check}": verdict for verdict in self._projection.checks()}
        failed = [_trouble(about, verdict) for about, verdict in judged.items() if not verdict.passed]
        return failed + [trouble for about, trouble in self._before.items() if about not in judged]


def _trouble(about: str, verdict: CheckJudged) -> Trouble:
    rows = "1 row" if verdict.found == 1 else f"{verdict.found} rows"
    summary = (
        f"the books do not agree: the check {verdict.check} found {rows} where there should be none "
        f"({verdict.says}); the first: {verdict.example}"
    )
    return Trouble(about, KIND, _SERVICE, summary)
