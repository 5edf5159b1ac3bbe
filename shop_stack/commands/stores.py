"""`shopfloor stores prepare`: make the services' databases and roles on a PostgreSQL server."""

import argparse
import os
from pathlib import Path

from shop_stack.commands.frame import Subparsers, parser_of
from shop_stack.errors import SettingError
from shop_stack.stack import read_stack

_EXAMPLES = """  shopfloor stores prepare --admin-url postgresql://postgres@127.0.0.1:5432/postgres --secrets ./secrets

The administrator's password comes from PGPASSFILE (see libpq's manual) or PGPASSWORD, not from a command line."""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "stores", "make the stores' databases and roles on PostgreSQL", _EXAMPLES, run)
    parser.add_argument("what", choices=["prepare"], help="make what is missing; can be repeated")
    parser.add_argument("--admin-url", required=True, metavar="URL", help="of one who may create roles and databases")
    parser.add_argument("--secrets", metavar="FOLDER", help="a password file a role (default: SHOPFLOOR_STORE_SECRETS)")
    parser.add_argument("--stack", metavar="FILE", help="describe another shop (default: the bundled one)")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once all is there."""
    from shop_stack.hosting.provisioning import prepare_stores

    folder = arguments.secrets or os.environ.get("SHOPFLOOR_STORE_SECRETS")
    if not folder:
        raise SettingError("name the folder of the passwords with --secrets or SHOPFLOOR_STORE_SECRETS")
    stack = read_stack(Path(arguments.stack) if arguments.stack else None)
    services = [spec.name for spec in stack.services]
    prepare_stores(arguments.admin_url, Path(folder).expanduser(), services)
    print(f"{len(services)} databases with a role each, and the auditor's role, are there; passwords lie in {folder}")
    return 0
