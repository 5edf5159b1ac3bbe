"""The few calls of the Docker Engine's API (1.41) that the runtime needs, over its Unix socket."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from shop_stack.errors import NotRunning

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"
CONFIG = "com.docker.compose.config-hash"
_STREAM_HEADER = 8
Json = dict[str, Any]
T = TypeVar("T")


class _Network(msgspec.Struct, rename="pascal"):
    IPAddress: str = msgspec.field(name="IPAddress", default="")


class _Networks(msgspec.Struct):
    networks: dict[str, _Network] = msgspec.field(name="Networks", default_factory=dict)


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """A container as the list shows it. `state` is Docker's: created, running, restarting, exited, dead."""

    id: str = msgspec.field(name="Id")
    names: list[str] = msgspec.field(name="Names")
    labels: dict[str, str] = msgspec.field(name="Labels")
    state: str = msgspec.field(name="State")
    status: str = msgspec.field(name="Status")
    created: int = msgspec.field(name="Created")
    image: str = msgspec.field(name="ImageID", default="")
    network: _Networks = msgspec.field(name="NetworkSettings")

    @property
    def name(self) -> str:
        """Its name without the slash."""
        return self.names[0].lstrip("/") if self.names else self.id[:12]

    @property
    def service(self) -> str:
        """The Compose service that it is a replica of."""
        return self.labels.get(SERVICE, "")

    @property
    def number(self) -> int:
        """Its number among the replicas."""
        number = self.labels.get(NUMBER, "1")
        return int(number) if number.isdigit() else 1

    @property
    def edition(self) -> tuple[str, str]:
        """Which image it was made from, and which configuration: another version of ours has others."""
        return self.image, self.labels.get(CONFIG, "")

    @property
    def addresses(self) -> dict[str, str]:
        """Its IP address by network; none while it does not run."""
        found = {name: one.IPAddress for name, one in self.network.networks.items()}
        return {name: address for name, address in found.items() if address}


class _Created(msgspec.Struct):
    id: str = msgspec.field(name="Id")


class Usage(msgspec.Struct, frozen=True):
    """CPU seconds since the container started, its memory in bytes without the file cache, and when that was so.

    `at` is Unix seconds.
    """

    cpu_s: float = 0.0
    memory_bytes: int = 0
    at: float = 0.0


class Life(msgspec.Struct, frozen=True):
    """When a container's process was started (Unix seconds), and how often Docker has started it again by itself."""

    started_at: float = 0.0
    restarts: int = 0


class _State(msgspec.Struct):
    started_at: datetime = msgspec.field(name="StartedAt")


class _Inspected(msgspec.Struct):
    state: _State = msgspec.field(name="State")
    restarts: int = msgspec.field(name="RestartCount")


class _Change(msgspec.Struct):
    id: str = ""


class Docker:
    """Asks one Engine about the containers of one Compose project. Raises NotRunning when it is silent or refuses."""

    def __init__(self, socket: Path, project: str) -> None:
        self.project = project
        self._socket = socket
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://docker/v1.41", timeout=30.0)

    async def containers(self) -> list[Container]:
        """Those of the project, one-off ones apart."""
        filters = {"label": [f"{PROJECT}={self.project}", f"{ONE_OFF}=False"]}
        found = await self._ask("GET", "/containers/json", all="true", filters=msgspec.json.encode(filters).decode())
        return read_answer(found, list[Container])

    async def inspect(self, container: str) -> Json:
        """Everything about one container."""
        return read_answer(await self._ask("GET", f"/containers/{container}/json"), Json)

    async def life(self, container: str) -> Life:
        """Its process's start and restarts."""
        found = read_answer(await self._ask("GET", f"/containers/{container}/json"), _Inspected)
        return Life(found.state.started_at.timestamp(), found.restarts)

    async def create(self, name: str, body: Json) -> str:
        """Create a container; its id."""
        answer = await self._ask("POST", "/containers/create", msgspec.json.encode(body), name=name)
        return read_answer(answer, _Created).id

    async def start(self, container: str) -> None:
        """Start it."""
        await self._ask("POST", f"/containers/{container}/start")

    async def restart(self, container: str, patience_s: int) -> None:
        """Stop it, killing it after `patience_s`, and start it again."""
        await self._ask("POST", f"/containers/{container}/restart", t=str(patience_s))

    async def remove(self, container: str, patience_s: int) -> None:
        """Stop it, killing it after `patience_s`, and remove it with its anonymous volumes."""
        await self._ask("POST", f"/containers/{container}/stop", t=str(patience_s))
        await self._ask("DELETE", f"/containers/{container}", v="true", force="true")

    async def logs(self, container: str, lines: int) -> list[str]:
        """Its last lines of standard output and error, oldest first, each with its time (UTC, RFC 3339) before it."""
        path = f"/containers/{container}/logs?stdout=true&stderr=true&timestamps=true&tail={lines:d}"
        return unframed(await self._ask("GET", path))

    async def usage(self, container: str) -> Usage:
        """What it uses now."""
        answer = await self._ask("GET", f"/containers/{container}/stats?stream=false&one-shot=true")
        return usage_of(read_answer(answer, Json))

    async def changes(self) -> AsyncIterator[str]:
        """Nothing once it listens, then the id of each container of the project that starts, dies or is removed.

        Ends when the Engine goes away.
        """
        filters = {"label": [f"{PROJECT}={self.project}"], "event": ["start", "die", "destroy"]}
        given = {"filters": msgspec.json.encode(filters).decode()}
        try:
            async with self._http.stream("GET", "/events", params=given, timeout=None) as answer:
                yield ""
                async for line in answer.aiter_lines():
                    yield msgspec.json.decode(line, type=_Change).id
        except (httpx.HTTPError, msgspec.MsgspecError):
            return

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: bytes | None = None, **given: str) -> bytes:
        headers = {"content-type": "application/json"} if body is not None else {}
        url = httpx.URL(path).copy_merge_params(given)
        try:
            answer = await self._http.request(method, url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NotRunning(f"the Docker Engine does not answer on {self._socket} ({type(error).__name__})") from error
        if answer.status_code >= 400:
            raise NotRunning(f"the Docker Engine refuses {method} {path.split('?')[0]}: {_reason(answer)}")
        return answer.content


def read_answer(content: bytes, kind: type[T]) -> T:
    """What the Engine says. Raises NotRunning for half an answer, as of a container that is removed meanwhile."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise NotRunning(f"the Docker Engine's answer cannot be read: {error}") from error


def unframed(content: bytes) -> list[str]:
    """The lines in a log's stream: frames of eight bytes (stream, three zeroes, length big-endian) and their text."""
    text, at = bytearray(), 0
    while at + _STREAM_HEADER <= len(content):
        length = int.from_bytes(content[at + 4 : at + _STREAM_HEADER], "big")
        text += content[at + _STREAM_HEADER : at + _STREAM_HEADER + length]
        at += _STREAM_HEADER + length
    return text.decode(errors="replace").splitlines()


def usage_of(stats: Json) -> Usage:
    """CPU and memory from the Engine's statistics, for cgroups of both versions; an idle file cache is not counted."""
    cpu_ns = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
    memory = stats.get("memory_stats", {})
    cache = memory.get("stats", {})
    idle = cache.get("total_inactive_file", cache.get("inactive_file", 0))
    read = stats.get("read")
    at = datetime.fromisoformat(read).timestamp() if read else 0.0
    return Usage(cpu_ns / 1e9, max(0, memory.get("usage", 0) - idle), at)


def _reason(answer: httpx.Response) -> str:
    try:
        return str(msgspec.json.decode(answer.content)["message"])[:300]
    except (msgspec.MsgspecError, KeyError, TypeError):
        return f"status {answer.status_code}"
