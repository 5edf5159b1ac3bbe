"""A trouble: a cause that is there now, and becomes an incident for as long as it lasts."""

from dataclasses import dataclass

from shop_stack.operations.model import StuckOrders


@dataclass(frozen=True)
class Trouble:
    """`about` names the cause for as long as it lasts.

    `announced` are the words of the event, which is sent once, where the summary changes with every moment;
    `waits_for` is the cause for which orders are stuck.
    """

    about: str
    kind: str
    service: str
    summary: str
    subject: str | None = None
    announced: str = ""
    stuck: StuckOrders | None = None
    waits_for: tuple[str, ...] = ()
