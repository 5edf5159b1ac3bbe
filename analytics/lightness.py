"""Keeps a process light: pyarrow imports pandas whenever it is installed, 48 MB that ingestion has no use for."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


class _Refusal(MetaPathFinder):
    """Says of some packages that they are not installed."""

    def __init__(self, *packages: str) -> None:
        self._packages = packages

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname in self._packages:
            raise ModuleNotFoundError(f"{fullname} is kept out of this process", name=fullname)
        return None


def keep_out(*packages: str) -> None:
    """From now on these packages cannot be imported in this process; what can do without them does."""
    sys.meta_path.insert(0, _Refusal(*packages))
