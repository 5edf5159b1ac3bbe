"""Judges a statement as DuckDB parsed it: one SELECT over known relations, by functions that only compute.

What is not named here is refused: kinds of nodes, of expressions, relations and functions alike.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from analytics.relations import Relation
from shop_stack.errors import ShopfloorError

_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_SOURCES = {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST"}
_ORDERS = {"ORDER_DEFAULT", "ASCENDING", "DESCENDING"}
_MODIFIERS = {"ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER"}
_NODES = _QUERIES | _SOURCES | _MODIFIERS | _ORDERS
_EXPRESSIONS = {
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA",
    "LAMBDA_REF", "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
}  # fmt: skip
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest"}
# Beside what is a function of its arguments alone: the time, and macros of which each was read.
_MORE_FUNCTIONS = {
    "unnest", "now", "today", "current_date", "current_timestamp", "current_localtimestamp", "get_current_timestamp",
    "nullif", "if", "split_part", "array_to_string", "list_sum", "list_avg", "list_min", "list_max", "list_count",
    "list_first", "list_last", "list_median", "list_reverse", "list_append", "list_prepend", "list_string_agg",
    "json_group_array", "json_group_object", "wavg", "weighted_avg", "geomean", "fdiv", "fmod", "date_add",
    "days_in_month",
}  # fmt: skip

Node = dict[str, Any]


class BadStatement(ShopfloorError):
    """A statement that is not answered: the message says in one sentence why."""


def computing(functions: list[tuple[str, str, str | None]]) -> frozenset[str]:
    """The names that may be called, of DuckDB's (name, type, stability): no form of one does more than compute."""
    plain = {name for name, kind, of in functions if kind in ("scalar", "aggregate", "window") and of == "CONSISTENT"}
    other = {name for name, kind, of in functions if kind == "scalar" and of != "CONSISTENT"}
    return frozenset(plain - other | _MORE_FUNCTIONS)


def needed(tree: Any, known: Mapping[str, Relation], functions: frozenset[str]) -> dict[str, list[str]]:
    """Which columns of which relations a parsed statement reads, from `json_serialize_sql`'s document.

    A column too many may be named, none too few. Raises BadStatement for what may not be asked.
    """
    if tree.get("error"):
        raise BadStatement(f"only a SELECT is answered: {tree.get('error_message', 'this is none')}")
    statements = tree["statements"]
    if len(statements) != 1:
        raise BadStatement(f"one SELECT is answered, and this has {len(statements)} statements")
    nodes = list(_all(statements))
    for node in nodes:
        _judge(node, functions)
    own = {entry["key"].lower() for node in nodes for entry in (node.get("cte_map") or {}).get("map", [])}
    own |= {str(node["cte_name"]).lower() for node in nodes if node.get("cte_name")}
    read = {
        name for node in nodes if node.get("type") == "BASE_TABLE" for name in [_relation(node, known, own)] if name
    }
    whole = _whole(nodes, read)
    said = {text.lower() for text in _texts(statements)}
    return {name: _columns(known[name], said, name in whole) for name in sorted(read)}


def _judge(node: Node, functions: frozenset[str]) -> None:
    expression, kind = node.get("class"), node.get("type")
    if isinstance(expression, str):
        if expression not in _EXPRESSIONS:
            raise BadStatement(f"a statement may hold no {_words(expression)}")
        if expression in ("FUNCTION", "WINDOW"):
            _judge_call(node, functions)
        if expression == "TYPE" and len(_path(node)) != 1:
            raise BadStatement("types are named without a schema")
    elif isinstance(kind, str) and kind not in _NODES:
        raise BadStatement(f"a statement may hold no {_words(kind)}")
    if kind == "TABLE_FUNCTION" and str(node["function"].get("function_name")).lower() not in _TABLE_FUNCTIONS:
        raise BadStatement(f"{node['function'].get('function_name')!r} cannot be read from; {_catalogue()}")


def _judge_call(node: Node, functions: frozenset[str]) -> None:
    name, path = str(node["function_name"]), _path(node)
    if len(path) != 1 or path[0].lower() != name.lower() or node.get("schema") or node.get("catalog"):
        raise BadStatement("functions are named without a schema")
    if name.lower() not in functions:
        raise BadStatement(f"the function {name!r} is not among those that may be called")


def _relation(node: Node, known: Mapping[str, Relation], own: set[str]) -> str | None:
    """The known relation that a table is, None for one of the statement's own."""
    path, name = _path(node), str(node["table_name"]).lower()
    if len(path) != 1 or path[0].lower() != name or node.get("schema_name") or node.get("catalog_name"):
        raise BadStatement(f"relations are named without a schema; {_catalogue()}")
    if node.get("at_clause") is not None:
        raise BadStatement("a relation is read as it is now, not AT another time")
    if name in known:
        return name
    if name not in own:
        raise BadStatement(f"there is no relation {node['table_name']!r}; {_catalogue()}")
    return None


def _whole(nodes: list[Node], read: set[str]) -> set[str]:
    """The relations of which columns are meant without being named: by a star, a place, a natural join or a row."""
    whole: set[str] = set()
    for node in nodes:
        kind = node.get("type")
        if kind == "SELECT_NODE" and any(_unnamed(own) for own in _beside_sources(node)):
            whole |= _direct(node.get("from_table"))
        elif kind == "JOIN" and (
            node.get("ref_type") == "NATURAL" or any(_unnamed(n) for n in _all(node["condition"]))
        ):
            whole |= _direct(node)
        elif kind == "BASE_TABLE" and node.get("column_name_alias"):
            whole.add(str(node["table_name"]).lower())
    tables = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    called = {str(node.get(key)).lower() for node in tables for key in ("alias", "table_name")}
    refs = (node["column_names"] for node in nodes if node.get("class") == "COLUMN_REF")
    return read if any(len(names) == 1 and str(names[0]).lower() in called for names in refs) else whole & read


def _unnamed(node: Node) -> bool:
    return node.get("class") in ("STAR", "POSITIONAL_REFERENCE")


def _beside_sources(select: Node) -> Iterator[Node]:
    return _all([value for key, value in select.items() if key not in ("from_table", "cte_map")])


def _direct(source: Any) -> set[str]:
    """The tables that stand in a FROM themselves, not in a subquery."""
    if not isinstance(source, dict):
        return set()
    tables = (node for node in _all(source, into=lambda node: node.get("type") == "JOIN"))
    return {str(node["table_name"]).lower() for node in tables if node.get("type") == "BASE_TABLE"}


def _columns(relation: Relation, said: set[str], whole: bool) -> list[str]:
    named = [name for name in relation.columns if whole or name in said]
    return named or [next(iter(relation.columns))]


def _all(tree: Any, into: Callable[[Node], bool] = lambda _node: True) -> Iterator[Node]:
    """Every object in a document, without recursion: its depth is the asker's."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            if into(node):
                waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _texts(tree: Any) -> Iterator[str]:
    for node in _all(tree):
        for value in node.values():
            yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))


def _path(node: Node) -> list[str]:
    return [str(part) for part in (node.get("qualified_name") or {}).get("path", [])]


def _words(kind: str) -> str:
    return kind.removesuffix("_NODE").removesuffix("_QUERY").replace("_", " ")


def _catalogue() -> str:
    return "GET /analytics/v1/relations lists what can be read"
