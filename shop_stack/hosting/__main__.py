"""`python -m shop_stack.hosting GROUP`: one replica of a process group as a container's only process.

Nobody hears what it says of itself: whoever keeps containers asks `/readyz`.
"""

import logging
import os
import signal
import sys
from typing import Any

from shop_stack.errors import ShopfloorError
from shop_stack.hosting.cards import card_of
from shop_stack.hosting.host import bind, serve
from shop_stack.hosting.topology import read_topology
from shop_stack.logs import write_json_lines
from shop_stack.settings import from_environment
from shop_stack.stack import read_stack

PORT = 8000
log = logging.getLogger(__package__)


class _Nobody:
    def send(self, message: tuple[str, Any], /) -> None:
        """Nobody listens."""


def main(group: str) -> int:
    """Run until SIGTERM. The exit code is 2 for a group that the topology does not have."""
    replica = f"{group}-{os.uname().nodename}"
    write_json_lines(replica)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the host has its own: a container's first process
    try:
        settings = from_environment()
        stack = read_stack(settings.stack_file)
        groups = read_topology(settings.topology, stack).groups
        if group not in groups:
            log.error("topology %s has no group %r; there are: %s", settings.topology, group, ", ".join(groups))
            return 2
        listener = bind((settings.inside, PORT))
        serve([card_of(name) for name in groups[group]], settings, stack, replica, _Nobody(), listener)
    except ShopfloorError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
