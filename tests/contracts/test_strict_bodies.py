"""A JSON body is taken as it is described or refused in words: no number from a text, no truth from a number."""

from typing import Any

import msgspec
import pytest
from litestar import post
from litestar.params import JSONBody

from shop_stack.hosting.http import application, asgi
from shop_stack.mesh.direct import run

pytestmark = pytest.mark.embedded


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A body."""

    number: int
    really: bool = False


def ask(method: str, path: str, body: bytes = b"") -> Any:
    """One request to a small application."""

    @post("/v1/wanted", sync_to_thread=False)
    def take(data: JSONBody[Wanted]) -> Wanted:
        return data

    app = application([("toy", [take])], "toy", threaded=False)
    return run(asgi(app), method, path, {"content-type": "application/json"}, body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"number": "1"}', "Expected `int`, got `str` - at `$.number`"),
        (b'{"number": 1.5}', "Expected `int`, got `float` - at `$.number`"),
        (b'{"number": 1, "really": 1}', "Expected `bool`, got `int` - at `$.really`"),
        (b'{"number": 1, "really": "true"}', "Expected `bool`, got `str`"),
        (b'{"number": 1, "other": 1}', "unknown field `other`"),
        (b"{}", "missing required field `number`"),
        (b"null", "Expected `object`, got `null`"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_what_is_not_as_described_is_refused_in_words(body: bytes, words: str) -> None:
    answer = ask("POST", "/v1/wanted", body)
    problem = answer.json()
    assert (answer.status, problem["status"]) == (400, 400)
    assert words in problem["detail"]
    assert "/v1/wanted" in problem["detail"]


def test_what_is_as_described_is_taken() -> None:
    for number in (b"1", b"1.0", b"1e0"):
        answer = ask("POST", "/v1/wanted", b'{"number": %s, "really": true}' % number)
        assert answer.json() == {"number": 1, "really": True}


def test_the_description_says_what_is_refused_and_how() -> None:
    document = ask("GET", "/schema/openapi.json").json()
    [body] = [of for name, of in document["components"]["schemas"].items() if name.endswith("Wanted")]
    assert body["additionalProperties"] is False
    responses = document["paths"]["/v1/wanted"]["post"]["responses"]
    assert set(responses) == {"201", "default"}
    assert list(responses["default"]["content"]) == ["application/problem+json"]
