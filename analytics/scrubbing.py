"""What analytics answers when a person is erased: it keeps nothing that names them but events, under their id alone."""

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


class Scrubbing:
    """Watches for CustomerErased among what was ingested. `run` belongs to one thread.

    `positions` tells how far the topic of customers was ingested, by partition. Nothing is kept of its own: what
    was answered is found among the ingested answers, and an answer given twice has the same id. `forget` drops what
    is kept elsewhere of what the warehouse said before; it is called before an erasure is answered.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        events: EventLog,
        positions: Callable[[], Mapping[int, int]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self._warehouse = warehouse
        self._events = events
        self._positions = positions
        self._now = now
        self._forget = forget
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
        """Answer for every person whose erasure was ingested and who has no answer yet; how many answers.

        Raises WarehouseError, LogUnavailable.
        """
        answered = {
            **_ERASED,
            "answer_topic": PersonScrubbed.topic.name,
            "answer_type": PersonScrubbed.type,
            "source": SOURCE,
        }
        found = self._warehouse.ask(statement("scrubbing/unanswered"), answered, _TIMEOUT_S).rows
        if found:
            self._forget()
        for person, erasure_id, cause in found:
            self._answer(person, erasure_id, cause)
        return len(found)

    def _answer(self, person: str, erasure_id: str, cause: str) -> None:
        answer = PersonScrubbed(customer_id=person, erasure_id=erasure_id, place=PLACE, erased={}, kept=_KEPT)
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
