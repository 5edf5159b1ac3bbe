"""`shopfloor import`: past orders from a file into the catalog, the stock and the history."""

import argparse
from pathlib import Path

from shop_stack.commands.frame import Subparsers, home_of, parser_of, print_json, takes_json

_EXAMPLES = """  shopfloor import online_retail.parquet
  shopfloor import orders.csv --json"""


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "import", "bring in past orders from a Parquet or CSV file", _EXAMPLES, run)
    parser.add_argument("file", type=Path)
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when every line is imported or counted under a reason; 5 for a file that cannot be read."""
    from shop_stack.traffic.imports import import_file

    report = import_file(home_of(arguments), arguments.file)
    if arguments.json:
        print_json(report)
    else:
        for name in report.__struct_fields__:
            print(f"{name.replace('_', ' '):<18} {getattr(report, name)}")
    return 0
