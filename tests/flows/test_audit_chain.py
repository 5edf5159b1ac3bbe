"""The chain of who did what: an edit, a deletion, a swap and a cut end are each detected against the event log."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shop_stack.access import Principal
from shop_stack.envelope import decode
from shop_stack.errors import ActionRefused, NotRunning
from shop_stack.operations.audit import Invariant
from shop_stack.operations.audit_operators import actions_recorded_once, audit_chain_whole
from shop_stack.operations.audit_stores import read_actions, read_audit
from shop_stack.operations.audit_tasks import published_heads
from shop_stack.operations.model import RestartRequest, ScaleRequest
from shop_stack.operations.people_model import PersonErasureRequest, PersonExportRequest
from tests.operations_stand import Stand, make_home, until

pytestmark = pytest.mark.embedded
ANNA = Principal("anna", "admin")
Tampering = Callable[[sqlite3.Connection], object]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(make_home(tmp_path))
    stand.engine.link.turn()
    yield stand
    stand.engine.stop()


def act(stand: Stand) -> None:
    """Four accepted actions, one that customers cannot answer, and refused ones; all that is accepted is published."""
    performer, people = stand.engine.performer, stand.engine.people
    done = [
        performer.scale("orders", ScaleRequest(3, "load"), ANNA, "key"),
        performer.scale("orders", ScaleRequest(3, "load"), ANNA, "key"),
        performer.restart("payments", RestartRequest("stuck"), ANNA),
        performer.scale("orders", ScaleRequest(2, "calm", force=True), ANNA),
        performer.scale("catalog", ScaleRequest(2, "load"), ANNA),
    ]
    for refused in (
        ScaleRequest(99, "load"),
        ScaleRequest(4, "too soon"),
        ScaleRequest(0, "stop"),
        ScaleRequest(3, ""),
    ):
        with pytest.raises(ActionRefused):
            performer.scale("orders", refused, ANNA)
    with pytest.raises(NotRunning):
        people.export("jane", PersonExportRequest("the person asked"), ANNA)
    with pytest.raises(ActionRefused, match="second time"):
        people.erase("jane", PersonErasureRequest("the person asked"), ANNA)
    for action_id in done:
        until(lambda action_id=action_id: stand.engine.action(action_id).state == "applied")
    stand.engine.link.turn()


def judged(stand: Stand) -> tuple[Invariant, Invariant]:
    """The two judgements over operations' store as it is: the chain against the log, records against actions."""
    log = stand.engine.link.log()
    events = [decode(record.value) for record in log.read("ops.actions", 0, 0)]
    heads = published_heads((event.type, event.data) for event in events)  # type: ignore[misc]
    with closing(sqlite3.connect(stand.settings.home.operations_store)) as database:
        chain, actions = read_audit(database), read_actions(database)
    return audit_chain_whole(chain, heads), actions_recorded_once(actions, chain)


def test_every_accepted_action_has_one_record_and_refused_ones_none(stand: Stand) -> None:
    act(stand)
    whole, once = judged(stand)
    assert (whole.status, once.status) == ("ok", "ok")
    with closing(sqlite3.connect(stand.settings.home.operations_store)) as database:
        did = [record.did.split(" ", 1)[1] for record in read_audit(database)]
    assert did == [
        "scale orders 3 None: load",
        "restart payments None None: stuck",
        "scale orders 2 None: calm (forced)",
        "scale catalog 2 None: load",
        "export-person jane: the person asked",
    ]


def edit(database: sqlite3.Connection) -> None:
    database.execute("update audit set actor = 'bert' where number = 2")


def edit_and_hash_anew(database: sqlite3.Connection) -> None:
    """What one with the program's source would do: change a record, and every hash from there on."""
    edit(database)
    previous = ""
    for number, at, actor, did in database.execute(
        "select number, at, actor, did from audit order by number"
    ).fetchall():
        head = hashlib.sha256("\n".join((previous, str(at), actor, did)).encode()).hexdigest()
        database.execute("update audit set previous = ?, hash = ? where number = ?", (previous, head, number))
        previous = head


def delete(database: sqlite3.Connection) -> None:
    database.execute("delete from audit where number = 3")


def swap(database: sqlite3.Connection) -> None:
    database.executescript(
        "update audit set number = 100 where number = 2; update audit set number = 2 where number = 3;"
        "update audit set number = 3 where number = 100;"
    )


def truncate(database: sqlite3.Connection) -> None:
    database.execute("delete from audit where number > 4")


def truncate_with_actions(database: sqlite3.Connection) -> None:
    """The end is cut off so well that operations' own store shows nothing of it."""
    database.executescript(
        "delete from audit where number >= 4; delete from outbox;"
        "delete from actions where action_id = (select max(action_id) from actions);"
    )


@pytest.mark.parametrize("tamper", [edit, edit_and_hash_anew, delete, swap, truncate, truncate_with_actions])
def test_tampering_is_detected(stand: Stand, tamper: Tampering) -> None:
    act(stand)
    assert judged(stand)[0].status == "ok"
    with closing(sqlite3.connect(stand.settings.home.operations_store)) as database:
        tamper(database)
        database.commit()
    whole, _ = judged(stand)
    assert whole.status != "ok"
    assert whole.counter_examples


def test_a_cut_end_is_detected_by_the_published_head_alone(stand: Stand) -> None:
    act(stand)
    with closing(sqlite3.connect(stand.settings.home.operations_store)) as database:
        truncate_with_actions(database)
        database.commit()
        chain = read_audit(database)
    assert audit_chain_whole(chain, []).status == "ok", "what is left is a whole chain"
    assert judged(stand)[0].status != "ok"


def test_an_acknowledged_incident_is_in_the_chain_and_its_head_is_published(stand: Stand) -> None:
    now = datetime.now(UTC)
    with stand.engine.store.write(now) as t:
        t.record("anna", "acknowledge x")
    stand.engine.link.turn()
    assert judged(stand)[0].rows_checked == 2
