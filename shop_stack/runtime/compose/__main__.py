"""`python -m shop_stack.runtime.compose`: the component that holds the Engine's socket."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from shop_stack.errors import NotRunning
from shop_stack.hosting.__main__ import PORT
from shop_stack.logs import write_json_lines
from shop_stack.runtime.answering import answer_on
from shop_stack.runtime.compose.docker import PROJECT, Docker
from shop_stack.runtime.compose.keeper import Keeper
from shop_stack.settings import from_environment

_SOCKET = Path("/var/run/docker.sock")
_NETWORK = "inside"


async def _project(docker: Docker) -> str:
    """The Compose project of this very container."""
    me = await docker.inspect(socket.gethostname())
    return str(me["Config"]["Labels"][PROJECT])


async def main() -> int:
    """Keep the project until SIGTERM. The exit code is 1, with a sentence, when the Engine cannot be asked."""
    settings = from_environment()
    docker = Docker(_SOCKET, os.environ.get("COMPOSE_PROJECT_NAME", ""))
    try:
        docker.project = await _project(docker)
    except NotRunning as error:
        group = _SOCKET.stat().st_gid if _SOCKET.exists() else "?"
        words = "%s; its socket belongs to group %s: set DOCKER_GID=%s and start again"
        logging.getLogger(__package__).error(words, error, group, group)
        return 1
    keeper = Keeper(settings, docker, PORT, f"{docker.project}_{_NETWORK}")
    await keeper.look()
    server = await answer_on(settings.home, keeper.handle)
    keeping = asyncio.create_task(keeper.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, keeping.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    server.close()
    await docker.close()
    return 0


if __name__ == "__main__":
    write_json_lines("runtime")
    sys.exit(asyncio.run(main()))
