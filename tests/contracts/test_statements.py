"""Statements compiled once give what Core gives: types, lists of any length, row counts, returned rows."""

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from shop_stack.hosting.statements import Prepared

pytestmark = pytest.mark.embedded

METADATA = MetaData()
ITEMS = Table(
    "items",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("open", Boolean),
    Column("due", Integer),
)
ADD = Prepared(insert(ITEMS), columns=("name", "open"))
SOME = select(ITEMS.c.name, ITEMS.c.open).where(ITEMS.c.name.in_(bindparam("names", expanding=True)))
FORGET = Prepared(update(ITEMS).where(ITEMS.c.name == bindparam("which")).values(due=None))
RAISE = Prepared(
    update(ITEMS)
    .where(ITEMS.c.id > bindparam("above"))
    .values(due=ITEMS.c.id + bindparam("more"))
    .returning(ITEMS.c.id, ITEMS.c.open)
)


@pytest.fixture
def connection() -> Connection:
    """A store with three items."""
    connection = create_engine("sqlite://").connect()
    METADATA.create_all(connection)
    for name, is_open in (("a", True), ("b", False), ("c", None)):
        assert ADD.change(connection, {"name": name, "open": is_open}) == 1
    return connection


def test_values_come_back_as_core_gives_them(connection: Connection) -> None:
    """Truth values are bool again, NULL stays None."""
    get = Prepared(SOME.order_by(ITEMS.c.name))
    expected = [tuple(row) for row in connection.execute(SOME.order_by(ITEMS.c.name), {"names": ["a", "b", "c"]})]
    found = get.rows(connection, {"names": ["a", "b", "c"]})
    assert found == expected == [("a", True), ("b", False), ("c", None)]
    assert [type(row[1]) for row in found] == [bool, bool, type(None)]
    first = get.first(connection, {"names": ["b"]})
    assert first == ("b", False)
    assert first is not None
    assert first[1] is False


def test_lists_of_any_length_and_of_other_members(connection: Connection) -> None:
    """The SQL kept for a length binds the members of each call."""
    get = Prepared(SOME.order_by(ITEMS.c.name))
    for names in (["a", "b"], ["b", "c"], [], ["c"], ["a"], ["nowhere"], ["a", "b"]):
        assert [row[0] for row in get.rows(connection, {"names": names})] == [n for n in names if n != "nowhere"]
    assert get.first(connection, {"names": []}) is None


def test_changes_count_rows_and_keep_the_statements_own_values(connection: Connection) -> None:
    """A NULL or number written into the statement is bound at each call; RETURNING gives the changed rows."""
    assert RAISE.rows(connection, {"above": 1, "more": 10}) == [(2, False), (3, None)]
    assert FORGET.change(connection, {"which": "b"}) == 1
    assert FORGET.change(connection, {"which": "nowhere"}) == 0
    limited = Prepared(select(ITEMS.c.due).where(ITEMS.c.due > bindparam("least")).limit(1))
    assert limited.rows(connection, {"least": 0}) == [(13,)]


def test_a_missing_value_is_told(connection: Connection) -> None:
    """No value is taken from an earlier call."""
    FORGET.change(connection, {"which": "a"})
    with pytest.raises(KeyError, match="which"):
        FORGET.change(connection, {})


def test_other_dialects_have_their_own_sql() -> None:
    """PostgreSQL's drivers take values by name, and its rows are held."""
    held = SOME.with_for_update(skip_locked=True)
    sql = Prepared(held)._make(postgresql.dialect(), {"names": ["a", "b"]})
    assert "FOR UPDATE SKIP LOCKED" in sql.text
    assert "%(names_1)s" in sql.text
    assert sql.parameters({"names": ["x", "y"]}, (2,)) == {"names_1": "x", "names_2": "y"}
