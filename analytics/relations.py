"""The relations that an operator's own statement may read: their columns in words, and how a copy of one is read."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from analytics.marts import MARTS
from analytics.statements import grain


@dataclass(frozen=True)
class Relation:
    """One relation: what a row is, what each column is, and the column that a span holds for ("": read whole)."""

    name: str
    row: str
    time: str
    columns: Mapping[str, str]

    def copy_sql(self, columns: Sequence[str], since: datetime | None, until: datetime | None) -> str:
        """The statement that reads these of its columns; its parameters are `since` and `until` where not None."""
        chosen = ", ".join(f'"{name}"' for name in self.columns if name in columns)
        bounds = [("since", ">=", since), ("until", "<", until)] if self.time else []
        tests = [f'"{self.time}" {sign} ${name}' for name, sign, at in bounds if at is not None]
        where = f" where {' and '.join(tests)}" if tests else ""
        return f"select {chosen} from {self.name}{where}"  # noqa: S608 (names of relations.toml)


@cache
def relations() -> Mapping[str, Relation]:
    """All of them by name, in the order of their file."""
    text = (files("analytics") / "relations.toml").read_text(encoding="utf-8")
    return {
        name: Relation(
            name=name,
            row=grain(f"marts/{name}") if name in MARTS else said["row"],
            time=said.get("time", ""),
            columns=said["columns"],
        )
        for name, said in tomllib.loads(text).items()
    }
