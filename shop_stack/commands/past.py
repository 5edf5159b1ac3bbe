"""Making the demo's past in a process of its own, so that what it imports is gone when it is done.

`python -m shop_stack.commands.past` says `DONE WHOLE` lines; with `--log` it writes a log, as a container does.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable

from shop_stack.errors import ShopfloorError
from shop_stack.logs import write_json_lines
from shop_stack.settings import Settings, from_environment, to_environment

Progress = Callable[[int, int], None]
_LINES = 8
log = logging.getLogger(__name__)


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


def main(words: list[str]) -> int:
    """Make the past unless it is made; the exit code is 1 when it cannot be, and the reason is said."""
    from shop_stack.stack import read_stack
    from shop_stack.traffic.history import make_past

    logging_it = words == ["--log"]
    if logging_it:
        write_json_lines("past")
    settings = from_environment()
    try:
        made = make_past(settings, read_stack(settings.stack_file), _logged if logging_it else _said)
    except ShopfloorError as error:
        if logging_it:
            log.error("%s", error)
        else:
            print(error, file=sys.stderr)
        return 1
    if logging_it:
        log.info("the past is made: %d events", made) if made else log.info("the past was made before")
    return 0


def _said(done: int, whole: int) -> None:
    print(done, whole, flush=True)


def _logged(done: int, whole: int) -> None:
    """A line every so often."""
    if done * _LINES // whole > (done - 1) * _LINES // whole:
        log.info("%d of %d days of the past are made", done, whole)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
