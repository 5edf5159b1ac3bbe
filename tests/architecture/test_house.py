"""The house is kept: sizes, purposes, names, boundaries and import contracts hold over every file."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_stack.events import TOPICS

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[2]
FLOORS = ("shop_stack", "analytics", "console", "dashboard")
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
SQL = sorted((ROOT / "analytics").rglob("*.sql"))
MAX_FILE, MAX_FUNCTION, MAX_SQL = 400, 50, 60
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "misc", "base"}
# Where an unexpected error must not stop the neighbours; each says so at the place.
BOUNDARIES = re.compile(
    r"shop_stack/eventlog/(delivery|dead_letters|relay)|shop_stack/hosting/(host|timers)|console/feed"
)


def relative(path: Path) -> str:
    """The path as a reader of the repository knows it."""
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a module, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_is_a_house_to_keep() -> None:
    assert len(MODULES) > 60
    assert len(SQL) > 5


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=relative)
def test_a_file_fits_its_budget(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_functions_fit_their_budget(path: Path) -> None:
    long = [f"{f.name}: {f.end_lineno - f.lineno + 1}" for f in functions(path) if _length(f) > MAX_FUNCTION]
    assert long == []


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_opens_with_its_purpose(path: Path) -> None:
    purpose = ast.get_docstring(ast.parse(path.read_text()))
    assert purpose, "no docstring"
    assert purpose.split("\n\n")[0].rstrip().endswith((".", "?", "!")), "the purpose is no sentence"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_say_something(path: Path) -> None:
    assert path.stem not in NAMES_THAT_SAY_NOTHING
    assert path.parent.name not in NAMES_THAT_SAY_NOTHING


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_broad_excepts_stand_only_at_the_boundaries(path: Path) -> None:
    if BOUNDARIES.search(relative(path)):
        return
    broad = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
        and not isinstance(node.body[-1], ast.Raise)
    ]
    assert broad == []


@pytest.mark.parametrize("path", SQL, ids=relative)
def test_sql_is_short_and_states_its_grain(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MAX_SQL
    assert lines[0].startswith("-- "), "line 1 says what one row is"


def test_only_three_import_duckdb() -> None:
    """The warehouse owns the file; of the others one runs operators' statements in a process of its own, over copies in
    memory, and one sorts what goes to the archive in memory of its own, which nothing else then lacks."""
    importers = [relative(p) for p in MODULES if re.search(r"^\s*(import|from) duckdb\b", p.read_text(), re.M)]
    assert importers == ["analytics/lying_together.py", "analytics/sandbox.py", "analytics/warehouse.py"]
    started = [relative(p) for p in MODULES if re.search(r"^\s*(import|from) analytics\.sandbox", p.read_text(), re.M)]
    assert started == ["analytics/queries.py"], (
        "it gives up what its process may do: named in the child's program alone"
    )


def test_topics_are_spelled_once() -> None:
    names = "|".join(re.escape(name) for name in TOPICS)
    spelled = re.compile(rf"""["']({names})["']""")
    elsewhere = [relative(p) for p in MODULES if p.name != "topics.py" and spelled.search(p.read_text())]
    assert elsewhere == []


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_nothing_connects_or_starts_on_import() -> None:
    script = (
        "import importlib, pkgutil, threading, socket\n"
        "def refuse(*a, **k): raise RuntimeError('a socket was opened on import')\n"
        "socket.socket.connect = refuse\nsocket.socket.bind = refuse\n"
        "import shop_stack\n"
        "for m in pkgutil.walk_packages(shop_stack.__path__, 'shop_stack.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_dependencies_are_pinned_with_hashes_and_name_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", lock)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in wanted:
        name = re.split(r"[\[<>=;~ ]", requirement)[0]
        assert re.search(rf"^{re.escape(name)}==", lock, re.M | re.I), f"{name} is not in the lock"


def test_the_readme_shows_the_tree_on_disk() -> None:
    readme = (ROOT / "README.md").read_text()
    tree = readme.split("<!-- tree -->")[1]
    shown = set(re.findall(r"^\s*([\w.]+(?:/[\w.]+)*/)\s", tree, re.M))
    folders = {
        "/".join(p.relative_to(ROOT).parts[:2]) + "/" for p in [*MODULES, *SQL] if len(p.relative_to(ROOT).parts) > 2
    }
    on_disk = folders | {f"{floor}/" for floor in FLOORS} | {"tests/"}
    assert shown == on_disk
