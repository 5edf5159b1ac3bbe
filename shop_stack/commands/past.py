"""Making the demo's past in a process of its own, so that what it imports is gone when it is done."""

import asyncio
import os
import sys
from collections.abc import Callable

from shop_stack.errors import ShopfloorError
from shop_stack.settings import Settings, from_environment, to_environment

Progress = Callable[[int, int], None]


async def make_past_apart(settings: Settings, progress: Progress) -> None:
    """Make the past unless it is made. Raises ShopfloorError with the reason when it cannot be."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shop_stack.commands.past",
        env=os.environ | to_environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async for line in process.stdout:
            done, whole = line.split()
            progress(int(done), int(whole))
        words = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
        if await process.wait():
            raise ShopfloorError(f"the demo's past could not be made: {words[-1] if words else 'no reason given'}")
    finally:
        if process.returncode is None:
            process.terminate()


def main() -> int:
    """Say `DONE WHOLE` lines while the past is made."""
    from shop_stack.stack import read_stack
    from shop_stack.traffic.history import make_past

    settings = from_environment()
    try:
        make_past(settings, read_stack(settings.stack_file), lambda done, whole: print(done, whole, flush=True))
    except ShopfloorError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
