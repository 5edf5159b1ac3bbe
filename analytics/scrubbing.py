"""What analytics does when a person is erased: it forgets what names them outside of events, and answers on the log."""

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from analytics.statements import statement
from analytics.warehouse import Warehouse, WarehouseError
from shop_stack.envelope import Envelope, encode
from shop_stack.errors import EventLogError
from shop_stack.eventlog.interface import EventLog, Record
from shop_stack.events import CustomerErased, PersonScrubbed

SOURCE = "/analytics"
PLACE = "analytics"
_LOOK_S = 1.0
_TIMEOUT_S = 30.0
_ERASED = {"erased_topic": CustomerErased.topic.name, "erased_type": CustomerErased.type}
_KEPT = ["events under the id alone, as the log has them: they hold no name, address or e-mail"]
log = logging.getLogger(__name__)


def forget_erased(warehouse: Warehouse, after_batch: int = 0) -> dict[str, int]:
    """Forget each person whose erasure was ingested after a batch: how many records lost their content, by id.

    Raises WarehouseError while another statement writes.
    """
    found = warehouse.ask(statement("scrubbing/erased"), {**_ERASED, "batch": after_batch}, _TIMEOUT_S).rows
    forget = statement("scrubbing/forget_rejected")
    forgotten = {person: len(warehouse.tend(forget, {"person": person}, _TIMEOUT_S).rows) for (person,) in found}
    if any(forgotten.values()):
        warehouse.tend("checkpoint", {}, _TIMEOUT_S)
    return forgotten


class Scrubbing:
    """Watches for CustomerErased among what was ingested. `run` belongs to one thread.

    `positions` tells how far the topic of customers was ingested, by partition. Nothing is kept of its own: what
    was answered is found among the ingested answers, and an answer given twice has the same id.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        events: EventLog,
        positions: Callable[[], Mapping[int, int]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._warehouse = warehouse
        self._events = events
        self._positions = positions
        self._now = now
        self._forgotten = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """Scrub whenever customers' events were ingested, until stopped; what fails is tried again a second later."""
        seen: Mapping[int, int] = {}
        while not self._stopping.wait(_LOOK_S):
            now_at = dict(self._positions())
            if now_at == seen:
                continue
            try:
                self.scrub()
                seen = now_at
            except (WarehouseError, EventLogError) as error:
                log.warning("an erasure waits in analytics: %s", error)

    def scrub(self) -> int:
        """Forget every person whose erasure was ingested since the last time, answer where none was; how many answers.

        The first time it is every erased person: a warehouse that was made again, or restored, has read again what
        it had forgotten. Raises WarehouseError while another statement writes, LogUnavailable.
        """
        batch = self._warehouse.ask(statement("ingest/last_batch"), {}, _TIMEOUT_S).rows[0][0] or 0
        forgotten = forget_erased(self._warehouse, self._forgotten)
        self._forgotten = batch
        answered = {
            **_ERASED,
            "answer_topic": PersonScrubbed.topic.name,
            "answer_type": PersonScrubbed.type,
            "source": SOURCE,
        }
        found = self._warehouse.ask(statement("scrubbing/unanswered"), answered, _TIMEOUT_S).rows
        for person, erasure_id, cause in found:
            self._answer(person, erasure_id, cause, forgotten.get(person, 0))
        return len(found)

    def _answer(self, person: str, erasure_id: str, cause: str, rejected: int) -> None:
        erased = {"contents of unreadable records": rejected} if rejected else {}
        answer = PersonScrubbed(customer_id=person, erasure_id=erasure_id, place=PLACE, erased=erased, kept=_KEPT)
        envelope = Envelope(
            id=str(uuid.uuid5(uuid.UUID(cause), PLACE)),
            source=SOURCE,
            subject=person,
            time=self._now(),
            correlationid=erasure_id,
            causationid=cause,
            data=answer,
        )
        self._events.append(answer.topic.name, [Record(key=person, value=encode(envelope), type=answer.type)])
