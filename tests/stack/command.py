"""The `shopfloor` command as a person types it, for tests of the whole stack."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from shop_stack.settings import Home

SHOPFLOOR = str(Path(sys.executable).with_name("shopfloor"))


def shopfloor(*words: str, home: Home, timeout_s: float = 180) -> str:
    """Run a command on a home and return what it printed; a failure is an error with its words."""
    done = subprocess.run(
        [SHOPFLOOR, *words, "--home", str(home.path)], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"shopfloor {' '.join(words)}: {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def shopfloor_json(*words: str, home: Home, timeout_s: float = 180) -> Any:
    """Run a command with --json and return what it answered."""
    return json.loads(shopfloor(*words, "--json", home=home, timeout_s=timeout_s))
