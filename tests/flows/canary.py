"""A person whose every byte is unmistakable, and the search for them in files: in all the ways that text is written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq

# Words that no product, code or key contains, with characters of two, three and four bytes, quotes and a backslash.
_WORDS = ("Zoë-Quixotl", "Ŵyvernmouth", "O'Blækkßtein", "Straße der 🜚 Vögelchen", 'back\\slash"quote')


@dataclass(frozen=True)
class Canary:
    """The person; `fragments` are the pieces of them that must not lie anywhere."""

    email: str = "zoë.quixotl+cánary7391@wyvernmouth.example"
    password: str = "pässwörd-Xylograph-7391"
    name: str = f"{_WORDS[0]} {_WORDS[2]}"
    address: str = f"{_WORDS[3]} 7391, {_WORDS[4]}\n{_WORDS[1]}"
    country: str = "Ruritænia"

    @property
    def registration(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in ("email", "password", "name", "address", "country")}

    def needles(self) -> list[bytes]:
        """Every fragment as UTF-8 in either case, UTF-16, JSON and URL-encoded text."""
        fragments = [
            *_WORDS,
            self.email,
            self.email.split("@")[0],
            self.email.split("@")[1],
            self.password,
            self.country,
        ]
        cased = {form for text in fragments for form in (text, text.casefold(), text.upper())}
        found: set[bytes] = set()
        for text in cased:
            found |= {text.encode(), text.encode("utf-16-le"), json.dumps(text)[1:-1].encode(), quote(text).encode()}
        return sorted(found)


def files_of(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of a folder with its bytes, of compressed tables also what they hold; sockets and pipes have none."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()
            if path.suffix == ".parquet":
                yield path, _held(path)


def _held(path: Path) -> bytes:
    """The values of a Parquet file as they were before they were compressed."""
    table = pq.read_table(path, partitioning=None)
    values = (value for column in table.itercolumns() for value in column.to_pylist())
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def traces(folder: Path, needles: list[bytes]) -> list[tuple[str, bytes]]:
    """Where any of these bytes lie: (file, bytes)."""
    return [(path.name, needle) for path, content in files_of(folder) for needle in needles if needle in content]
