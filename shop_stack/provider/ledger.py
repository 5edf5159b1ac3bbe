"""The provider's own books: what it holds and has taken of each order, and its answer to every key."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

Step = Literal["authorise", "capture", "void", "refund"]
STEPS: tuple[Step, ...] = ("authorise", "capture", "void", "refund")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    order_id TEXT PRIMARY KEY, state TEXT NOT NULL, authorised_minor INTEGER NOT NULL,
    captured_minor INTEGER NOT NULL, refunded_minor INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, order_id TEXT NOT NULL, step TEXT NOT NULL, amount_minor INTEGER NOT NULL,
    status INTEGER NOT NULL, body BLOB NOT NULL, times INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS callbacks (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, copies INTEGER NOT NULL, attempts INTEGER NOT NULL, due REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS callbacks_by_due ON callbacks (due);
"""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One order's money at the provider, minor units. `state`: authorised, declined, captured, voided, refunded.

    Held now is `authorised_minor` in state authorised; taken is `captured_minor` less `refunded_minor`.
    """

    order_id: str
    state: str
    authorised_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer's body: `approved` with a reference, `declined` with a reason, or `captured` to a void."""

    status: str
    reference: str = ""
    reason: str = ""


class Reply(msgspec.Struct, frozen=True):
    """An answer: HTTP status, JSON body, and whether the key was new."""

    status: int
    body: bytes
    is_new: bool


class Told(msgspec.Struct, frozen=True):
    """A callback's body: what became of a step; `id` is the step's key, the same on every copy."""

    id: str
    order_id: str
    step: Step
    status: str


class Callback(msgspec.Struct, frozen=True):
    """A callback on its way: how many copies are still to be acknowledged, and how often this one was tried."""

    key: str
    body: bytes
    copies: int
    attempts: int
    due: float


class Telling(msgspec.Struct, frozen=True):
    """How often the outcome of a step is to be told, and from when on (seconds since 1970)."""

    copies: int
    due: float


class KeyMisused(Exception):
    """An idempotency key came again for another order, step or amount."""


class Ledger:
    """The books in one SQLite file; one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def perform(
        self,
        step: Step,
        key: str,
        order_id: str,
        amount_minor: int,
        decline: Callable[[str], str | None],
        telling: Telling | None = None,
    ) -> Reply:
        """Do a step once for its key; the same key gets the same answer. `decline` gives an order's reason or None.

        What the step came to is to be told as `telling` says; that is booked with the step. Raises KeyMisused.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            reply = self._repeated(step, key, order_id, amount_minor)
            if reply is None:
                reply = self._new(step, key, order_id, amount_minor, decline)
                if telling is not None and telling.copies:
                    self._tell(step, key, order_id, reply, telling)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return reply

    def accounts(self, order_id: str | None = None, after: str = "", most: int = 1000) -> list[Account]:
        """The accounts by order id: one order's, or up to `most` after an id."""
        fields = "SELECT order_id, state, authorised_minor, captured_minor, refunded_minor FROM accounts"
        if order_id is not None:
            rows = self._db.execute(f"{fields} WHERE order_id = ?", (order_id,))
        else:
            rows = self._db.execute(f"{fields} WHERE order_id > ? ORDER BY order_id LIMIT ?", (after, most))
        return [_account(row) for row in rows]

    def next_callback(self) -> Callback | None:
        """The callback that is due first, now or later."""
        row = self._db.execute("SELECT key, body, copies, attempts, due FROM callbacks ORDER BY due LIMIT 1").fetchone()
        return Callback(*row) if row else None

    def acknowledged(self, key: str, next_copy: float) -> None:
        """A copy of a callback was heard; the next one, if there is one, is due then."""
        if self._db.execute("DELETE FROM callbacks WHERE key = ? AND copies <= 1", (key,)).rowcount == 0:
            self._db.execute(
                "UPDATE callbacks SET copies = copies - 1, attempts = 0, due = ? WHERE key = ?", (next_copy, key)
            )

    def unheard(self, key: str, again: float) -> None:
        """Nobody acknowledged a callback; it is tried again then."""
        self._db.execute("UPDATE callbacks SET attempts = attempts + 1, due = ? WHERE key = ?", (again, key))

    def given_up(self, key: str) -> None:
        """A callback that is not tried any more."""
        self._db.execute("DELETE FROM callbacks WHERE key = ?", (key,))

    def image(self) -> bytes:
        """All that is booked, as the bytes of a database file."""
        return self._db.serialize()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _repeated(self, step: Step, key: str, order_id: str, amount_minor: int) -> Reply | None:
        row = self._db.execute(
            "UPDATE answers SET times = times + 1 WHERE key = ? RETURNING step, order_id, amount_minor, status, body",
            (key,),
        ).fetchone()
        if row is None:
            return None
        if row[:3] != (step, order_id, amount_minor):
            raise KeyMisused(f"the key {key!r} was used for another order, step or amount; use a new one")
        return Reply(row[3], row[4], is_new=False)

    def _new(
        self, step: Step, key: str, order_id: str, amount_minor: int, decline: Callable[[str], str | None]
    ) -> Reply:
        before = next(iter(self.accounts(order_id)), None)
        after, status, said = _RULES[step](before, order_id, amount_minor, decline)
        if after is not None and after != before:
            self._db.execute(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)",
                (after.order_id, after.state, after.authorised_minor, after.captured_minor, after.refunded_minor),
            )
        body = msgspec.json.encode(said)
        self._db.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, 1)", (key, order_id, step, amount_minor, status, body)
        )
        return Reply(status, body, is_new=True)

    def _tell(self, step: Step, key: str, order_id: str, reply: Reply, telling: Telling) -> None:
        status = msgspec.json.decode(reply.body, type=Said).status
        body = msgspec.json.encode(Told(key, order_id, step, status))
        self._db.execute("INSERT INTO callbacks VALUES (?, ?, ?, 0, ?)", (key, body, telling.copies, telling.due))


_Outcome = tuple[Account | None, int, Said]
_Decline = Callable[[str], str | None]


def _approved(account: Account) -> _Outcome:
    return account, 200, Said("approved", reference=f"ref-{account.order_id}")


def _declined(account: Account | None, reason: str) -> _Outcome:
    return account, 402, Said("declined", reason=reason)


def _authorise(before: Account | None, order_id: str, amount_minor: int, decline: _Decline) -> _Outcome:
    if before is not None:
        return _approved(before) if before.state == "authorised" else _declined(before, f"already_{before.state}")
    reason = decline(order_id)
    if reason is not None:
        return _declined(Account(order_id=order_id, state="declined"), reason)
    return _approved(Account(order_id=order_id, state="authorised", authorised_minor=amount_minor))


def _capture(before: Account | None, order_id: str, amount_minor: int, _: _Decline) -> _Outcome:
    if before is not None and before.state == "captured":
        return _approved(before)
    if before is None or before.state != "authorised" or amount_minor > before.authorised_minor:
        return _declined(before, "not_authorised")
    return _approved(msgspec.structs.replace(before, state="captured", captured_minor=amount_minor))


def _void(before: Account | None, order_id: str, amount_minor: int, _: _Decline) -> _Outcome:
    """A void of an unknown order is kept, so that an authorisation that comes late is declined."""
    if before is not None and before.state == "captured":
        return before, 409, Said("captured")
    if before is not None and before.state in ("voided", "refunded"):
        return _approved(before)
    known = before if before is not None else Account(order_id=order_id, state="voided")
    return _approved(msgspec.structs.replace(known, state="voided"))


def _refund(before: Account | None, order_id: str, amount_minor: int, _: _Decline) -> _Outcome:
    if before is not None and before.state == "refunded":
        return _approved(before)
    if before is None or before.state != "captured":
        return _declined(before, "not_captured")
    return _approved(msgspec.structs.replace(before, state="refunded", refunded_minor=before.captured_minor))


_RULES: dict[Step, Callable[[Account | None, str, int, _Decline], _Outcome]] = {
    "authorise": _authorise,
    "capture": _capture,
    "void": _void,
    "refund": _refund,
}


def _account(row: tuple[str, str, int, int, int]) -> Account:
    order_id, state, authorised, captured, refunded = row
    return Account(
        order_id=order_id,
        state=state,
        authorised_minor=authorised,
        captured_minor=captured,
        refunded_minor=refunded,
    )
