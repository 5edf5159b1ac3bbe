"""`shopfloor dashboard`: the managers' web page, in this process's place, for the running stack."""

import argparse
import os
import sys
from dataclasses import replace

from shop_stack.commands.frame import Subparsers, home_of, left_to_compose, parser_of, running_settings
from shop_stack.runtime.ports import choose_ports
from shop_stack.settings import read_endpoints, to_environment

_EXAMPLES = """  shopfloor dashboard
  shopfloor up --dashboard       starts it with the stack"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser_of(subparsers, "dashboard", "serve the managers' web page", _EXAMPLES, run)


def run(arguments: argparse.Namespace) -> int:
    """Say where the page is when the stack serves it already, else serve it until Ctrl-C."""
    left_to_compose("docker compose port dashboard 8501    (that is where its page is)")
    home = home_of(arguments)
    running = read_endpoints(home).dashboard
    if running is not None:
        print(f"the dashboard is at {running}")
        return 0
    settings = running_settings(home)
    ports = dict(settings.ports) | {"dashboard": choose_ports({})["dashboard"]}
    print(f"the dashboard is at http://127.0.0.1:{ports['dashboard']} (stop it with Ctrl-C)", flush=True)
    environment = os.environ | to_environment(replace(settings, ports=ports, dashboard=True))
    os.execve(sys.executable, [sys.executable, "-m", "dashboard"], environment)
