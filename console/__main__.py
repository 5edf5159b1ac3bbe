"""`python -m console`: open the console on a home folder, or write a picture of it."""

import argparse
import gc
import os
import sys
from pathlib import Path


def main(given: list[str] | None = None) -> int:
    """Run the console. Returns 0, or 1 when a picture could not be made."""
    options = _parser().parse_args(given)
    _trust_the_terminal()
    gc.disable()  # until the first frame is drawn: nothing made by then is garbage
    from console.app import ConsoleApp
    from shop_stack.settings import default_home

    home = (options.home or default_home()).expanduser().resolve()
    app = ConsoleApp(home, read_only=options.read_only, role=options.role, theme=options.theme)
    if options.screenshot:
        from console.picture import take

        return take(app, options.screenshot, _size(options.size))
    app.run()
    return app.return_code or 0


def _trust_the_terminal() -> None:
    """A COLUMNS or LINES in the environment would fix the size, whatever the terminal is or becomes."""
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shopfloor console",
        description="The operators' console: see, explain, act, verify.",
        epilog="Keys: ? in the console. Example: shopfloor console --home ./shop --read-only",
    )
    parser.add_argument(
        "--home", type=Path, help="the stack's home folder (default: SHOPFLOOR_HOME, or the platform's)"
    )
    parser.add_argument("--read-only", action="store_true", help="bind no key that changes the stack")
    parser.add_argument("--role", choices=("operator", "viewer"), default="operator", help="whose token to use")
    parser.add_argument("--theme", choices=("dark", "light", "terminal"), default="dark")
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE.svg", help="write a picture once there is data, and leave"
    )
    parser.add_argument(
        "--size", default="120x36", metavar="COLUMNSxLINES", help="of the picture (default: %(default)s)"
    )
    return parser


def _size(text: str) -> tuple[int, int]:
    columns, _, lines = text.partition("x")
    try:
        size = int(columns), int(lines)
    except ValueError:
        sys.exit(f"--size: {text!r} is not COLUMNSxLINES, such as 120x36")
    if not (40 <= size[0] <= 400 and 12 <= size[1] <= 200):
        sys.exit(f"--size: {text} is outside 40x12 to 400x200")
    return size


if __name__ == "__main__":
    sys.exit(main())
