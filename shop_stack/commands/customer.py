"""`shopfloor customer`: find, export and erase a person's data, and show the certificate of an erasure."""

import argparse
import time
from typing import cast

from shop_stack.access import read_token
from shop_stack.commands.frame import Subparsers, home_of, parser_of, plain, print_json, takes_json
from shop_stack.errors import ShopfloorError
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.people_model import Because, ErasureView
from shop_stack.settings import read_endpoints

_GROUNDS: dict[str, Because] = {
    "person": "the person asked",
    "authority": "an authority asked",
    "not-needed": "no longer needed",
}
_EXAMPLES = """  shopfloor customer find jane@example.com          the id of who has this e-mail
  shopfloor customer export 019ab0d2-7a0e-7c11 > jane.json
  shopfloor customer erase 019ab0d2-7a0e-7c11 --yes --wait 60
  shopfloor customer certificate 019ab0d2-7a0e-7c11 --json

`erase` cannot be undone. It waits by itself while an order of the person is open, and need not be asked again.
Each of these (but the certificate) is for administrators and stands in the audit log, by id alone."""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "customer", "find, export or erase a person's data", _EXAMPLES, run)
    parser.add_argument("what", choices=("find", "export", "erase", "certificate"))
    parser.add_argument("person", metavar="ID", help="the person's id; for `find` their e-mail")
    parser.add_argument("--because", choices=_GROUNDS, default="person", help="the ground (default: the person asked)")
    parser.add_argument("--yes", action="store_true", help="confirm an erasure, which cannot be undone")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait for an erasure to be complete")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; 1 when an erasure is not complete after --wait, 5 when refused or nobody has this id."""
    home = home_of(arguments)
    because = _GROUNDS[arguments.because]
    with OperationsClient(read_endpoints(home).operations, read_token(home, "admin"), timeout_s=40.0) as operations:
        if arguments.what == "find":
            found = operations.find_person(arguments.person, because)
            print_json({"customer_id": found}) if arguments.json else print(plain(found))
        elif arguments.what == "export":
            print_json(operations.export_person(arguments.person, because))
        else:
            _show(_erasure(operations, arguments, because), json=arguments.json)
    return 0


def _erasure(operations: OperationsClient, arguments: argparse.Namespace, because: str) -> ErasureView:
    if arguments.what == "erase":
        view = operations.erase_person(arguments.person, cast(Because, because), confirm=arguments.yes)
    else:
        view = operations.erasure(arguments.person)
    deadline = time.monotonic() + arguments.wait
    while view.state != "complete" and time.monotonic() < deadline:
        time.sleep(0.25)
        view = operations.erasure(arguments.person)
    if arguments.wait and view.state != "complete":
        raise ShopfloorError(f"{_state(view)} after {arguments.wait:g} s; it goes on by itself")
    return view


def _state(view: ErasureView) -> str:
    if view.state == "waiting":
        return f"the erasure waits for {view.open_orders} open orders" if view.open_orders else "the erasure begins"
    missing = f"; not answered yet: {', '.join(view.missing)}" if view.missing else ""
    return f"the erasure is {view.state}{missing}"


def _show(view: ErasureView, *, json: bool) -> None:
    if json:
        print_json(view)
        return
    print(f"{plain(view.customer_id)}: {_state(view)}")
    print(f"asked {view.asked_at:%Y-%m-%d %H:%M:%S} UTC by {plain(view.asked_by)}: {plain(view.because)}")
    for place in view.places:
        erased = ", ".join(f"{rows} {what}" for what, rows in place.erased.items()) or "nothing was there to erase"
        print(f"  {place.at:%H:%M:%S}  {plain(place.place):<12} {plain(erased)}")
        for kept in place.kept:
            print(f"  {'':<8}  {'':<12} kept: {plain(kept)}")
