"""`shopfloor query`: one SELECT of the operator's own over what analytics keeps, as a table or as JSON."""

import argparse
import sys
from typing import Any

import httpx
import msgspec

from shop_stack.access import read_token
from shop_stack.commands.frame import Subparsers, home_of, parser_of, plain, print_json, takes_json
from shop_stack.errors import AccessDenied, NotRunning, SettingError
from shop_stack.settings import read_endpoints

_EXAMPLES = """  shopfloor query "select topic, count(*) from raw_events group by topic"
  shopfloor query "select * from orders_placed order by total_minor desc limit 5" --json
  shopfloor query "select type, count(*) as events from raw_events group by type" --since 2026-11-22T10:00:00Z
  shopfloor query --relations       what can be read, column by column"""
_WIDEST = 60


def add(subparsers: Subparsers) -> None:
    """Its arguments."""
    parser = parser_of(subparsers, "query", "answer one SELECT over what analytics keeps", _EXAMPLES, run)
    parser.add_argument("sql", nargs="?", help="the statement; - reads it from standard input")
    parser.add_argument("--relations", action="store_true", help="list what a statement may read")
    parser.add_argument("--limit", type=int, default=1000, help="the most rows (default: 1000, at most 10000)")
    parser.add_argument("--since", metavar="TIME", help="read only what happened from then on")
    parser.add_argument("--until", metavar="TIME", help="read only what happened before then")
    takes_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; 2 for a statement that is not answered, with the reason."""
    home = home_of(arguments)
    if not arguments.relations and not arguments.sql:
        raise SettingError('a statement is needed, such as: shopfloor query "select count(*) from raw_events"')
    headers = {"authorization": f"Bearer {read_token(home)}"}
    with httpx.Client(base_url=read_endpoints(home).analytics, headers=headers, timeout=20.0, trust_env=False) as http:
        if arguments.relations:
            answer = _asked(http, "GET", "/analytics/v1/relations", None)
        else:
            sql = sys.stdin.read() if arguments.sql == "-" else arguments.sql
            body = {"sql": sql, "limit": arguments.limit, "since": arguments.since, "until": arguments.until}
            answer = _asked(http, "POST", "/analytics/v1/query", body)
    if arguments.json:
        print_json(answer)
    elif arguments.relations:
        _tell_relations(answer)
    else:
        _tell(answer)
    return 0


def _asked(http: httpx.Client, method: str, path: str, body: Any) -> Any:
    try:
        answer = http.request(method, path, json=body)
        said = msgspec.json.decode(answer.content)
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise NotRunning(f"analytics does not answer on {http.base_url} ({error}); see: shopfloor status") from error
    if answer.is_success:
        return said
    detail = plain(str(said.get("detail", f"HTTP {answer.status_code}")))
    if answer.status_code in (401, 403):
        raise AccessDenied(detail)
    raise NotRunning(detail) if answer.status_code >= 500 else SettingError(detail)


def _tell(answer: dict[str, Any]) -> None:
    names = [column["name"] for column in answer["columns"]]
    table = [[plain(name) for name in names], *([_cell(row[name]) for name in names] for row in answer["rows"])]
    widths = [min(_WIDEST, max(len(row[n]) for row in table)) for n in range(len(names))]
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    rows = len(answer["rows"])
    more = " and there are more (see --limit)" if answer["truncated"] else ""
    print(f"{rows} row{'' if rows == 1 else 's'}{more}, as of {answer['watermark']['at'] or 'no event yet'}")


def _tell_relations(relations: list[dict[str, Any]]) -> None:
    for relation in relations:
        span = f"; --since and --until hold for {relation['time']}" if relation["time"] else ""
        print(f"{relation['name']}: {relation['row']}{span}")
        for name, words in relation["columns"].items():
            print(f"    {name:<18} {words}")


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = plain(text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
