"""A supervisor without a terminal: started by `shopfloor up --detach`, it tells its progress through a pipe."""

import asyncio
import os
import signal
import sys

from shop_stack.errors import ShopfloorError
from shop_stack.runtime.supervisor import Supervisor
from shop_stack.settings import from_environment


def main(descriptor: int) -> int:
    """Run until SIGTERM or a stop over the socket. Lines are `KIND<tab>TEXT`; the pipe closes after `ready`."""
    teller = _Teller(descriptor)
    try:
        asyncio.run(_supervise(teller))
    except ShopfloorError as error:
        print(error, file=sys.stderr)
        teller.say(type(error).__name__, str(error))
        return 1
    return 0


async def _supervise(teller: "_Teller") -> None:
    supervisor = Supervisor(from_environment(), teller.say)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
    await supervisor.run()


class _Teller:
    """Writes to whoever waits for the start; afterwards to the supervisor's log."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._pipe = descriptor

    def say(self, kind: str, text: str) -> None:
        if self._pipe < 0:
            if kind != "change":
                print(text, file=sys.stderr, flush=True)
            return
        try:
            os.write(self._pipe, f"{kind}\t{' '.join(text.split())}\n".encode())
        except OSError:
            kind = "ready"
        if kind == "ready":
            os.close(self._pipe)
            self._pipe = -1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
