"""The selector of Kafka's client, without its dearest habit."""

import selectors
from typing import Any


class Selector(selectors.DefaultSelector):
    """Kafka's client asks before each wait for a socket that is mostly not registered.

    The standard answer is an error that quotes the socket, which asks the kernel for both its addresses.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the standard one."""
        key = super().register(fileobj, events, data)
        self._known[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As the standard one."""
        key = super().unregister(fileobj)
        self._known.pop(key.fd, None)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the standard one."""
        key = super().modify(fileobj, events, data)
        self._known[key.fd] = key
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The key of a registered socket. Raises KeyError with its number only."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return self._known[number] if number >= 0 else super().get_key(fileobj)
