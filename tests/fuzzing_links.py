"""How the fuzzer follows declared links: with whole bodies, as OpenAPI means them, and nothing made up mixed in."""

from typing import Any

import schemathesis


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Mark each link of the description."""
    for of_path in raw_schema["paths"].values():
        for operation in of_path.values():
            for response in operation.get("responses", {}).values():
                for link in response.get("links", {}).values():
                    link["x-schemathesis"] = {"merge_body": False}
