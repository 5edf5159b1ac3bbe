"""`python -m shop_stack.traffic`: the demo's live shoppers, started by the supervisor."""

import asyncio
import contextlib
import signal

from shop_stack.logs import write_json_lines
from shop_stack.runtime import lifeline
from shop_stack.settings import from_environment
from shop_stack.stack import read_stack
from shop_stack.traffic.live import LiveShoppers


async def _until_told() -> None:
    settings = from_environment()
    shoppers = LiveShoppers(settings, read_stack(settings.stack_file), seed=1)
    task = asyncio.create_task(shoppers.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> None:
    """Shop until SIGTERM."""
    write_json_lines("shoppers")
    lifeline.follow_supervisor()
    asyncio.run(_until_told())


if __name__ == "__main__":
    main()
