"""A private PostgreSQL server for tests, in a folder of its own, on a port of loopback; never run as root."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from shop_stack.hosting.provisioning import prepare_stores
from shop_stack.settings import Home, Settings

_STARTS_S = 20.0


@dataclass
class PostgresServer:
    """A server that can be killed and started again. `durable`: with fsync, for tests that kill it."""

    binaries: Path
    folder: Path
    port: int
    durable: bool = False

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def url(self) -> str:
        return f"postgresql://127.0.0.1:{self.port}"

    @property
    def secrets(self) -> Path:
        return self.folder.parent / f"{self.folder.name}-secrets"

    def create(self) -> None:
        """Make the cluster: services log in with passwords, the administrator by trust."""
        self._run("initdb", "-D", str(self.folder), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        (self.folder / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        told = ["-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        told += [] if self.durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        command = [*_as_postgres(), str(self.binaries / "postgres"), "-D", str(self.folder), *told]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        until = time.monotonic() + _STARTS_S
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(self.admin_url, connect_timeout=2):
                return
            assert time.monotonic() < until, "PostgreSQL did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the postmaster, and wait until its children have gone with it."""
        os.kill(int((self.folder / "postmaster.pid").read_text().split()[0]), 9)
        self._process.wait(_STARTS_S)

    def stop(self) -> None:
        """Stop it at once; the folder goes."""
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.folder / "postmaster.pid").read_text().split()[0]), 3)
        self._process.wait(_STARTS_S)

    def settings(self, home: Path, services: Sequence[str], *, again: bool = False) -> Settings:
        """Settings of a home whose stores lie here; databases from before are dropped unless they are wanted again."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            for service in () if again else services:
                admin.execute(f"DROP DATABASE IF EXISTS shop_{service} WITH (FORCE)")  # type: ignore[arg-type]
        prepare_stores(self.admin_url, self.secrets, services)
        return Settings(home=Home(home), stores_url=self.url, store_secrets=self.secrets)

    def _run(self, program: str, *words: str) -> None:
        command = [*_as_postgres(), str(self.binaries / program), *words]
        subprocess.run(command, check=True, capture_output=True, cwd="/")


def _as_postgres() -> list[str]:
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []


@contextmanager
def running_postgres(binaries: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """A new server; gone afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="shopfloor-pg-"))
    parent.chmod(0o755)
    folder = parent / "data"
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = PostgresServer(binaries, folder, port, durable)
    try:
        server.create()
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(parent, ignore_errors=True)
