"""The supervisor's socket: requests of the command and of operations, answered one line each."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from shop_stack.errors import ShopfloorError
from shop_stack.runtime.protocol import LONGEST_LINE, Reply, Request
from shop_stack.runtime.sockets import reachable
from shop_stack.settings import Home

Handle = Callable[[Request], Awaitable[Any]]


async def answer_on(home: Home, handle: Handle) -> asyncio.Server:
    """Listen on the home's socket (mode 0600); `handle` answers a request or raises a ShopfloorError."""
    home.supervisor_socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with reachable(home.supervisor_socket) as name:
        listener.bind(name)
    os.chmod(home.supervisor_socket, 0o600)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await _reply(line, handle)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    return await asyncio.start_unix_server(converse, sock=listener, limit=LONGEST_LINE)


async def _reply(line: bytes, handle: Handle) -> Reply:
    try:
        answer = await handle(msgspec.json.decode(line, type=Request))
    except msgspec.MsgspecError as error:
        return Reply(error="SettingError", message=f"the supervisor does not understand this request: {error}")
    except ShopfloorError as error:
        return Reply(error=type(error).__name__, message=str(error))
    return Reply(result=msgspec.Raw(msgspec.json.encode(answer)))
