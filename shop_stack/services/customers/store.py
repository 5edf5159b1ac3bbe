"""The customers' database: people with their sealed data, recent failed sign-ins, and who is whose guest."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    inspect,
    select,
    update,
)

from shop_stack.eventlog.idempotency import KEYS
from shop_stack.hosting.service import Transaction
from shop_stack.hosting.statements import Prepared
from shop_stack.services import scrubbing
from shop_stack.services.customers.vault import Profile, Vault

METADATA = MetaData()
NOTES = scrubbing.notes_in(METADATA)

# `email_mark` and `sealed` are None once the person is erased; a guest has no mark. `version` counts events published.
_people = Table(
    "people",
    METADATA,
    Column("customer_id", String(64), primary_key=True),
    Column("email_mark", String(64), unique=True),
    Column("sealed", LargeBinary),
    Column("version", Integer, nullable=False),
    Column("registered_us", BigInteger, nullable=False),
    Column("erased_us", BigInteger),
)
_keys = Table(
    "person_keys",
    METADATA,
    Column("customer_id", String(64), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)
_failures = Table(
    "failed_sign_ins",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("email_mark", String(64), nullable=False),
    Column("failed_us", BigInteger, nullable=False),
    Index("failed_sign_ins_by_email", "email_mark", "failed_us"),
)
_guests = Table(
    "guests",
    METADATA,
    Column("guest_id", String(64), primary_key=True),
    Column("customer_id", String(64), nullable=False),
    Index("guests_by_customer", "customer_id"),
)
_PERSON = (_people.c.customer_id, _people.c.sealed, _keys.c.wrapped, _people.c.version, _people.c.registered_us)
_JOINED = select(*_PERSON).join(_keys, _keys.c.customer_id == _people.c.customer_id)
_BY_ID = Prepared(_JOINED.where(_people.c.customer_id == bindparam("customer")))
_BY_MARK = Prepared(_JOINED.where(_people.c.email_mark == bindparam("mark")))


@dataclass(frozen=True)
class Account:
    """One account or guest, opened."""

    customer_id: str
    profile: Profile
    version: int
    registered_us: int


def account_by_email(connection: Connection, vault: Vault, email: str) -> Account | None:
    """The account of this (compared) e-mail."""
    return _opened(vault, _BY_MARK.first(connection, {"mark": vault.mark(email)}))


def account_by_id(connection: Connection, vault: Vault, customer_id: str) -> Account | None:
    """The account or guest of this id; None for an erased one."""
    return _opened(vault, _BY_ID.first(connection, {"customer": customer_id}))


def _opened(vault: Vault, row: tuple[object, ...] | None) -> Account | None:
    if row is None:
        return None
    customer_id, sealed, wrapped, version, registered_us = row
    profile = vault.open(wrapped, customer_id, sealed)  # type: ignore[arg-type]  # the columns' types
    return Account(customer_id, profile, version, registered_us)  # type: ignore[arg-type]


def hold_person(transaction: Transaction, customer_id: str) -> None:
    """Alone with what is held of a person, who may not be there yet, until the transaction ends."""
    transaction.hold(f"person {customer_id}")


def is_known(connection: Connection, customer_id: str) -> bool:
    """Whether somebody has or had this id, erased ones included."""
    return connection.execute(select(_people.c.version).where(_people.c.customer_id == customer_id)).first() is not None


def holds_anything(connection: Connection, customer_id: str) -> bool:
    """Whether anything personal of this id is held."""
    mine = select(_keys.c.customer_id).where(_keys.c.customer_id == customer_id)
    return connection.execute(mine).first() is not None


def add(connection: Connection, vault: Vault, customer_id: str, profile: Profile, version: int, now_us: int) -> None:
    """Store a new person, or one again who was erased. Raises IntegrityError when the e-mail is taken."""
    wrapped = vault.new_key(customer_id)
    held = {
        "email_mark": vault.mark(profile.email) if profile.email is not None else None,
        "sealed": vault.seal(wrapped, customer_id, profile),
        "registered_us": now_us,
        "erased_us": None,
    }
    again = update(_people).where(_people.c.customer_id == customer_id).values(held)
    if connection.execute(again).rowcount == 0:
        connection.execute(insert(_people).values(customer_id=customer_id, version=version, **held))
    connection.execute(insert(_keys).values(customer_id=customer_id, wrapped=wrapped))


def change(connection: Connection, vault: Vault, customer_id: str, profile: Profile) -> None:
    """Replace what is held of a person, under their key."""
    wrapped = connection.execute(select(_keys.c.wrapped).where(_keys.c.customer_id == customer_id)).scalar_one()
    sealed = vault.seal(wrapped, customer_id, profile)
    connection.execute(update(_people).where(_people.c.customer_id == customer_id).values(sealed=sealed))


def next_version(connection: Connection, customer_id: str) -> int:
    """Count the person's version up by one and return it."""
    raised = update(_people).where(_people.c.customer_id == customer_id).values(version=_people.c.version + 1)
    return int(connection.execute(raised.returning(_people.c.version)).scalar_one())


def add_guest(connection: Connection, guest_id: str, customer_id: str) -> None:
    """Remember that a guest turned out to be this customer; the first one counts."""
    if connection.execute(select(_guests.c.customer_id).where(_guests.c.guest_id == guest_id)).first() is None:
        connection.execute(insert(_guests).values(guest_id=guest_id, customer_id=customer_id))


def guests_of(connection: Connection, customer_id: str) -> list[str]:
    """The guests that this customer was."""
    found = select(_guests.c.guest_id).where(_guests.c.customer_id == customer_id).order_by(_guests.c.guest_id)
    return list(connection.execute(found).scalars())


def erase(connection: Connection, customer_id: str, now_us: int) -> Mapping[str, int]:
    """Drop a person's key, sealed data, e-mail's mark and failed sign-ins, and the kept answer to their registration.

    The id stays, with a version, so that the event of it has the next sequence. Returns rows dropped by what they were.
    """
    mine = _people.c.customer_id == customer_id
    held = connection.execute(select(_people.c.email_mark, _people.c.sealed).where(mine)).first()
    if held is None:
        connection.execute(insert(_people).values(customer_id=customer_id, version=0, registered_us=now_us))
    keys = connection.execute(delete(_keys).where(_keys.c.customer_id == customer_id)).rowcount
    tries = connection.execute(delete(_failures).where(_failures.c.email_mark == held[0])).rowcount if held else 0
    connection.execute(update(_people).where(mine).values(email_mark=None, sealed=None, erased_us=now_us))
    answer = f'"{customer_id}"'.encode()
    answers = connection.execute(delete(KEYS).where(KEYS.c.subject == "", KEYS.c.answer == answer)).rowcount
    profiles = 1 if held is not None and held[1] is not None else 0
    dropped = {"profiles": profiles, "keys": keys, "failed sign-ins": tries, "kept answers": answers}
    return {what: rows for what, rows in dropped.items() if rows}


def forget_guests(connection: Connection, customer_id: str) -> None:
    """Drop the links from guests to this customer."""
    connection.execute(delete(_guests).where(_guests.c.customer_id == customer_id))


def failures(connection: Connection, mark: str, since_us: int) -> list[int]:
    """When sign-ins with this e-mail failed since then (microseconds)."""
    found = select(_failures.c.failed_us).where(_failures.c.email_mark == mark, _failures.c.failed_us >= since_us)
    return list(connection.execute(found).scalars())


def add_failure(connection: Connection, mark: str, now_us: int) -> None:
    """Note a failed sign-in."""
    connection.execute(insert(_failures).values(email_mark=mark, failed_us=now_us))


def forget_failures(connection: Connection, before_us: int, mark: str | None = None) -> None:
    """Drop failed sign-ins from before then; of one e-mail only, when marked."""
    old = delete(_failures).where(_failures.c.failed_us < before_us)
    connection.execute(old if mark is None else old.where(_failures.c.email_mark == mark))


def take_over_plain_accounts(connection: Connection, vault: Vault) -> int:
    """Seal the accounts that an older version kept in plain words, and drop its tables; how many."""
    if not inspect(connection).has_table("accounts"):
        return 0
    columns = "customer_id, email, password, name, address, country, version, registered_us"
    rows = connection.exec_driver_sql(f"SELECT {columns} FROM accounts").all()  # noqa: S608 - a constant
    for customer_id, email, password, name, address, country, version, registered_us in rows:
        profile = Profile(email=email, password=password, name=name, address=address, country=country)
        add(connection, vault, customer_id, profile, version if email is not None else 0, registered_us)
    connection.exec_driver_sql("DROP TABLE accounts")
    connection.exec_driver_sql("DROP TABLE IF EXISTS sign_in_failures")
    return len(rows)
