"""The customers' database: accounts with their personal data, and recent failed sign-ins."""

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    select,
    update,
)

from shop_stack.hosting.statements import Prepared

METADATA = MetaData()

# A row without e-mail and password is a guest who left an address.
_accounts = Table(
    "accounts",
    METADATA,
    Column("customer_id", String(64), primary_key=True),
    Column("email", String(254), unique=True),
    Column("password", String(300)),
    Column("name", String(200), nullable=False),
    Column("address", String(1000), nullable=False),
    Column("country", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("registered_us", BigInteger, nullable=False),
)
_failures = Table(
    "sign_in_failures",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("email", String(254), nullable=False),
    Column("failed_us", BigInteger, nullable=False),
    Index("sign_in_failures_by_email", "email", "failed_us"),
)


@dataclass(frozen=True)
class Account:
    """One account; `email` and `password` (a hash) are None for a guest who only left an address."""

    customer_id: str
    email: str | None
    password: str | None
    name: str
    address: str
    country: str
    version: int


_FIELDS = [_accounts.c[name] for name in Account.__dataclass_fields__]
_BY_ID = Prepared(select(*_FIELDS).where(_accounts.c.customer_id == bindparam("customer")))


def account_by_email(connection: Connection, email: str) -> Account | None:
    """The account of this (compared) e-mail."""
    row = connection.execute(select(*_FIELDS).where(_accounts.c.email == email)).first()
    return Account(*row) if row else None


def account_by_id(connection: Connection, customer_id: str) -> Account | None:
    """The account or guest of this id."""
    row = _BY_ID.first(connection, {"customer": customer_id})
    return Account(*row) if row else None


def add(connection: Connection, account: Account, now_us: int) -> None:
    """Store a new account. Raises IntegrityError when its e-mail is taken."""
    connection.execute(_accounts.insert().values(registered_us=now_us, **vars(account)))


def next_version(connection: Connection, customer_id: str) -> int:
    """Count the account's version up by one and return it."""
    raised = update(_accounts).where(_accounts.c.customer_id == customer_id).values(version=_accounts.c.version + 1)
    return int(connection.execute(raised.returning(_accounts.c.version)).scalar_one())


def change(connection: Connection, customer_id: str, name: str, address: str, country: str) -> bool:
    """Replace name, address and country; False when there is no such row."""
    changed = update(_accounts).where(_accounts.c.customer_id == customer_id)
    return connection.execute(changed.values(name=name, address=address, country=country)).rowcount == 1


def failures(connection: Connection, email: str, since_us: int) -> list[int]:
    """When sign-ins with this e-mail failed since then (microseconds)."""
    found = select(_failures.c.failed_us).where(_failures.c.email == email, _failures.c.failed_us >= since_us)
    return list(connection.execute(found).scalars())


def add_failure(connection: Connection, email: str, now_us: int) -> None:
    """Note a failed sign-in."""
    connection.execute(_failures.insert().values(email=email, failed_us=now_us))


def forget_failures(connection: Connection, before_us: int, email: str | None = None) -> None:
    """Drop failed sign-ins from before then; of one e-mail only, when named."""
    old = delete(_failures).where(_failures.c.failed_us < before_us)
    connection.execute(old if email is None else old.where(_failures.c.email == email))
