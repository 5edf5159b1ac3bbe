"""The SQL of analytics, read from its files: what each says is one statement, its grain on line 1."""

from functools import cache
from importlib.resources import files

_FOLDER = files("analytics") / "sql"


@cache
def statement(path: str) -> str:
    """The text of `sql/<path>.sql`. Raises FileNotFoundError."""
    return (_FOLDER / f"{path}.sql").read_text(encoding="utf-8").strip()


@cache
def names(folder: str) -> tuple[str, ...]:
    """The names of the statements in `sql/<folder>/`, sorted."""
    found = (entry.name for entry in (_FOLDER / folder).iterdir())
    return tuple(sorted(name.removesuffix(".sql") for name in found if name.endswith(".sql")))


def grain(path: str) -> str:
    """What one row of a statement is: its first line, a comment."""
    return statement(path).splitlines()[0].removeprefix("--").strip()
