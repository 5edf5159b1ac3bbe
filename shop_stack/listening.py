"""Ports that are held from the moment they are chosen: nobody else can take one before its part listens there.

The supervisor claims a port with a socket that never listens, and lets its own user's sockets share it if they say
so (SO_REUSEPORT). The parts that it starts, Envoy among them, say so; whoever does not is refused by the kernel.
"""

import socket

from shop_stack.errors import SettingError

_BACKLOG = 2048


def claim(address: str, port: int) -> socket.socket | None:
    """A socket that holds a port (not 0) until it is closed; None when somebody has it."""
    holder = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections may still be closing
        holder.bind((address, port))
        holder.listen(1)  # of several who came this far at once, one at most can listen
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # and from here on nobody else can
        holder.shutdown(socket.SHUT_RD)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        holder.close()
        return None
    return holder


def claim_any(address: str) -> socket.socket:
    """A socket that holds a port of the kernel's choice."""
    while True:
        with socket.socket(_family(address), socket.SOCK_STREAM) as chooser:
            chooser.bind((address, 0))
            port = int(chooser.getsockname()[1])
        holder = claim(address, port)
        if holder is not None:
            return holder


def listen_on(address: str, port: int, part: str) -> socket.socket:
    """A listening socket for a part whose port is held for it, or free; 0: any. Raises SettingError."""
    listener = socket.socket(_family(address), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingError(f"{part} cannot listen on {address}:{port} ({error.strerror}); free the port") from error
    return listener


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
