"""`shopfloor up`: start the stack and stay with it, or start it and leave it running."""

import argparse
import asyncio
import ipaddress
import signal

from shop_stack.commands.frame import Subparsers, left_to_compose, parser_of, print_json, takes_json
from shop_stack.errors import SettingError
from shop_stack.settings import TOPOLOGIES, Settings, settings_from

_EXAMPLES = """  shopfloor up                                 the shop, until Ctrl-C
  shopfloor up --demo                          with a past, live shoppers and the dashboard
  shopfloor up --detach --home /tmp/shop       leave it running; stop it with `shopfloor down`
  shopfloor up --log kafka://127.0.0.1:9092    on Apache Kafka
  shopfloor up --topology monolith             the same shop in one process"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "up", "start the stack", _EXAMPLES, run)
    parser.add_argument("--demo", action="store_true", help="a made-up catalog and past, live shoppers, the dashboard")
    parser.add_argument("--detach", action="store_true", help="return once it is ready and leave it running")
    parser.add_argument("--dashboard", action="store_true", help="start the managers' web page too")
    parser.add_argument("--log", metavar="URL", help="`embedded:` (default) or `kafka://HOST:PORT[,HOST:PORT...]`")
    parser.add_argument("--topology", choices=TOPOLOGIES, help="which services share a process")
    parser.add_argument("--stack", metavar="FILE", help="describe another shop (default: the bundled one)")
    parser.add_argument("--delivery-seconds", type=float, metavar="S", help="from dispatch to delivery")
    parser.add_argument("--bind", metavar="ADDRESS", help="the gateway's address (default 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="the gateway's port (default 8080; 0: any free one)")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Start; exit code 0 after a clean stop (or, detached, once ready). Raises ActionRefused in a container."""
    left_to_compose("docker compose up -d")
    settings = _settings(arguments)
    if arguments.detach:
        from shop_stack.commands.detaching import start_detached

        return start_detached(settings, as_json=arguments.json)
    return asyncio.run(_stay(settings, as_json=arguments.json))


def _settings(arguments: argparse.Namespace) -> Settings:
    given = vars(arguments) | {"dashboard": arguments.dashboard or arguments.demo}
    settings = settings_from(given)
    try:
        ipaddress.ip_address(settings.bind)
    except ValueError:
        raise SettingError(f"--bind {settings.bind!r} is no IP address; give one, such as 127.0.0.1") from None
    if arguments.port is None:
        return settings
    if not 0 <= arguments.port <= 65535:
        raise SettingError(f"--port {arguments.port} is not between 0 and 65535")
    return Settings(**{**settings.__dict__, "ports": {"gateway": arguments.port}})


async def _stay(settings: Settings, *, as_json: bool) -> int:
    """Supervise in this process until Ctrl-C or SIGTERM."""
    from shop_stack.commands.past import make_past_apart
    from shop_stack.commands.screens import StartScreen
    from shop_stack.commands.status import summary
    from shop_stack.runtime.supervisor import Supervisor

    screen = StartScreen(quiet=as_json)
    ready = asyncio.Event()

    def hear(kind: str, text: str) -> None:
        screen.hear(kind, text)
        if kind == "ready":
            ready.set()

    supervisor = Supervisor(settings, hear)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)

    async def welcome() -> None:
        await ready.wait()
        if as_json:
            print_json(summary(settings.home, supervisor.observe()))
        if settings.demo:
            await make_past_apart(supervisor.settings, screen.past)
            supervisor.start_part("shoppers")
        screen.addresses(supervisor.settings)

    greeting = loop.create_task(welcome())
    try:
        await supervisor.run()
        if greeting.done():
            greeting.result()
    finally:
        greeting.cancel()
        screen.close()
    return 0
