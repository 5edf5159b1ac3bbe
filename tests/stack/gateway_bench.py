"""A real Envoy with small real upstream servers: what the gateway's tests stand on."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from shop_stack.access import Issuer, Signer, prepare_keys
from shop_stack.mesh.admin import EnvoyAdmin, HostState
from shop_stack.mesh.clusters import Endpoint
from shop_stack.mesh.endpoints import EndpointFiles
from shop_stack.mesh.envoy import EnvoyFiles, bootstrap, envoy_files, read_key_sets, write_bootstrap
from shop_stack.mesh.envoy_process import envoy_command
from shop_stack.mesh.policy import MeshPolicy
from shop_stack.runtime.ports import choose_ports
from shop_stack.settings import LOOPBACK, Home, Settings

ANY = dict.fromkeys(("gateway", "trial", "mesh", "operations", "analytics", "provider", "dashboard"), 0)


def local(port: int, *, draining: bool = False) -> Endpoint:
    """An endpoint on loopback."""
    return Endpoint((LOOPBACK, port), draining)


def until(holds: Callable[[], Any], patience_s: float = 8.0) -> Any:
    """The first true answer; fails when none comes in time."""
    deadline = time.monotonic() + patience_s
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {patience_s} s"
        time.sleep(0.01)
    return answer


@dataclass
class Upstream:
    """A server that answers with what it was asked; `behave` may answer instead (status, body)."""

    name: str
    port: int = 0
    ready: bool = True
    keep_alive_s: float = 75.0
    seen: list[tuple[str, str]] = field(default_factory=list)
    behave: Callable[[BaseHTTPRequestHandler], bool] | None = None
    server: Any = None

    def start(self) -> "Upstream":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = owner.keep_alive_s
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                self.close_connection = True
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.path == "/readyz":
                    return self.reply(200 if owner.ready else 503, {})
                owner.seen.append((self.command, self.path))
                if owner.behave is not None and owner.behave(self):
                    return None
                headers = {name.lower(): value for name, value in self.headers.items()}
                return self.reply(200, {"by": owner.name, "path": self.path, "headers": headers, "bytes": len(body)})

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

            def reply(self, status: int, answer: dict[str, Any]) -> None:
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                return

        ThreadingHTTPServer.request_queue_size = 128
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer_with(status: int) -> Callable[[BaseHTTPRequestHandler], bool]:
    """A behaviour: this status, always."""

    def behave(handler: Any) -> bool:
        handler.reply(status, {"status": status})
        return True

    return behave


@dataclass
class Gateway:
    """A running Envoy and what a test needs of it."""

    home: Home
    files: EnvoyFiles
    ports: dict[str, int]
    endpoints: EndpointFiles
    admin: EnvoyAdmin
    process: "subprocess.Popen[bytes]"
    client: httpx.Client

    def url(self, path: str, door: str = "gateway") -> str:
        return f"http://127.0.0.1:{self.ports[door]}{path}"

    def get(self, path: str, token: str | None = None, door: str = "gateway", **headers: str) -> httpx.Response:
        return self.ask("GET", path, token, door, **headers)

    def ask(
        self, method: str, path: str, token: str | None = None, door: str = "gateway", body: bytes = b"", **headers: str
    ) -> httpx.Response:
        bearer = {"authorization": f"Bearer {token}"} if token else {}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, self.url(path, door), headers=bearer | sent, content=body)

    def mesh(self, service: str, path: str, method: str = "GET") -> httpx.Response:
        return self.client.request(method, self.url(path, "mesh"), headers={"host": f"{service}.mesh"})

    def token(self, issuer: Issuer, role: str, subject: str = "s-1", lifetime_s: float = 600) -> str:
        issued = datetime.now(UTC) - timedelta(seconds=700) if lifetime_s < 0 else datetime.now(UTC)
        return Signer(self.home, issuer).issue(subject, role, issued, timedelta(seconds=abs(lifetime_s)))

    def hosts(self, service: str) -> list[HostState]:
        return [host for host in self.admin.hosts() if host.cluster == service]

    def serve(self, service: str, *ports: int) -> None:
        """Send the service's requests to these ports and wait until Envoy does."""
        self.endpoints.write([service], [local(port) for port in ports])
        until(lambda: sorted(h.port for h in self.hosts(service) if h.serving) == sorted(ports))

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are (a client would normalise the path) and return the status line."""
        with socket.create_connection(("127.0.0.1", self.ports["gateway"]), timeout=5) as connection:
            connection.sendall(request)
            return connection.recv(4096).split(b"\r\n")[0]


@contextlib.contextmanager
def gateway(folder: Path, policy: MeshPolicy, floors: dict[str, int] | None = None) -> Iterator[Gateway]:
    """An Envoy with this policy, no endpoint yet; stopped at the end."""
    home = Home(folder)
    prepare_keys(home, datetime.now(UTC))
    files = envoy_files(home)
    ports = choose_ports(ANY) | (floors or {})
    write_bootstrap(bootstrap(policy, files, read_key_sets(home), Settings(home=home, ports=ports)), files)
    endpoints = EndpointFiles(files)
    endpoints.write(policy.services, [])
    log = os.open(files.folder / "envoy.log", os.O_WRONLY | os.O_CREAT)
    process = subprocess.Popen(envoy_command(files), cwd=files.folder, stdout=log, stderr=log)
    os.close(log)
    admin = EnvoyAdmin(files.admin_socket)
    try:
        until(lambda: process.poll() is not None or admin.live())
        assert process.poll() is None, (files.folder / "envoy.log").read_text()[-3000:]
        with httpx.Client(timeout=10, trust_env=False) as client:
            yield Gateway(home, files, ports, endpoints, admin, process, client)
    finally:
        process.terminate()
        process.wait(10)
