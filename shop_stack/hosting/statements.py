"""Core statements compiled once and run on the driver: the same SQL for a fifth of what Core asks for each call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler

Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete
Values = Mapping[str, Any]
Row = tuple[Any, ...]
_Convert = Callable[[Any], Any]


class Prepared:
    """A statement of the store's language, written at module level; each dialect's SQL is made at its first use.

    Values are given by the names of its bindparams (an insert's columns); a list fills an expanding bindparam.
    Runs in the connection's transaction. Raises the driver's own errors.
    """

    def __init__(self, statement: Statement, columns: Sequence[str] | None = None) -> None:
        """`columns` names those that an insert fills, when it does not fill all."""
        self._statement = statement
        self._columns = columns
        self._made: dict[tuple[str, tuple[int, ...]], _Sql] = {}

    def first(self, connection: Connection, values: Values | None = None) -> Row | None:
        """The first row, None when there is none."""
        sql, cursor = self._run(connection, values or {})
        row: Row | None = cursor.fetchone()
        cursor.close()
        return sql.converted(row) if row is not None else None

    def rows(self, connection: Connection, values: Values | None = None) -> list[Row]:
        """All rows."""
        sql, cursor = self._run(connection, values or {})
        rows = cursor.fetchall()
        return [sql.converted(row) for row in rows] if sql.conversions else list(rows)

    def change(self, connection: Connection, values: Values | None = None) -> int:
        """Run a change that returns no rows; how many rows it changed."""
        _, cursor = self._run(connection, values or {})
        return int(cursor.rowcount)

    def _run(self, connection: Connection, values: Values) -> "tuple[_Sql, DBAPICursor]":
        lengths = tuple([len(value) for value in values.values() if type(value) is list])
        sql = self._made.get((connection.dialect.name, lengths))
        if sql is None:
            sql = self._make(connection.dialect, values)
            self._made[connection.dialect.name, lengths] = sql
        cursor = connection.connection.dbapi_connection.cursor()  # type: ignore[union-attr]  # open for as long as we are
        cursor.execute(sql.text, sql.parameters(values, lengths))
        return sql, cursor

    def _make(self, dialect: Dialect, values: Values) -> "_Sql":
        lists = {name: value for name, value in values.items() if type(value) is list}
        statement = self._statement.params(lists) if lists else self._statement
        how = {"render_postcompile": True}
        compiled = statement.compile(dialect=dialect, column_keys=self._columns, compile_kwargs=how)
        assert isinstance(compiled, SQLCompiler)
        fixed = {name: bound.effective_value for name, bound in compiled.binds.items() if not bound.required}
        # PostgreSQL's driver knows truth values and numbers itself.
        columns = self._outcome() if dialect.name == "sqlite" else []
        found = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        return _Sql(str(compiled), compiled.positiontup if compiled.positional else None, fixed, found)

    def _outcome(self) -> list[ColumnElement[Any]]:
        """The columns of the rows that the statement returns."""
        columns = self._statement.exported_columns
        return list(columns) if columns is not None else []


class _Sql:
    """A statement in one dialect's SQL; `order` names its parameters when they go by position."""

    def __init__(
        self, text: str, order: Sequence[str] | None, fixed: Values, conversions: Sequence[_Convert | None]
    ) -> None:
        self.text = text
        self._order = order
        self._fixed = {name: value for name, value in fixed.items() if order is None or name in order}
        self.conversions = [(at, convert) for at, convert in enumerate(conversions) if convert is not None]

    def parameters(self, values: Values, lengths: Sequence[int]) -> Any:
        """What the driver wants beside the text. Raises KeyError for a value that is missing."""
        if lengths:
            values = _spread(values)
        if self._fixed:
            values = {**self._fixed, **values}
        return [values[name] for name in self._order] if self._order is not None else values

    def converted(self, row: Row) -> Row:
        """A row with the values that Core would have made of it."""
        if not self.conversions:
            return row
        changed = list(row)
        for at, convert in self.conversions:
            changed[at] = convert(changed[at])
        return tuple(changed)


def _spread(values: Values) -> dict[str, Any]:
    """Lists under the names that Core gives to their members: `ids` becomes `ids_1`, `ids_2`."""
    spread: dict[str, Any] = {}
    for name, value in values.items():
        if type(value) is list:
            spread.update((f"{name}_{number}", one) for number, one in enumerate(value, 1))
        else:
            spread[name] = value
    return spread
