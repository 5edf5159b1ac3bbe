"""What every service reads from the gateway's headers, and how a kept answer goes out."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, PathParameter

from shop_stack.hosting.service import Answer

# The gateway has checked the token and sets these from its claims; it strips them from what comes from outside.
Subject = Annotated[str, HeaderParameter(name="x-subject", min_length=1, max_length=64)]
MaybeSubject = Annotated[str | None, HeaderParameter(name="x-subject", max_length=64)]  # give it the default None
Role = Annotated[str, HeaderParameter(name="x-role", max_length=32)]  # give it the default "guest"
PathId = Annotated[str, PathParameter(min_length=1, max_length=64)]
# Every POST that creates carries a key; one that is missing, empty or longer is answered 400.
MOST_KEY_LETTERS = 255
IdempotencyKey = Annotated[str, HeaderParameter(name="idempotency-key", min_length=1, max_length=MOST_KEY_LETTERS)]
# In links: the next request is the same shopper's.
SAME_SUBJECT = {"header.x-subject": "$request.header.x-subject"}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def answer_of(status: int, body: Any) -> Answer:
    """An answer with this HTTP status and `body` as JSON."""
    return Answer(status, msgspec.json.encode(body))


def answers_with(status: int, body: type[Any]) -> dict[int, ResponseSpec]:
    """For the description of a handler that sends an Answer: what its body is when all is well."""
    return {status: ResponseSpec(data_container=body, generate_examples=False, description="Done.")}


def respond(answer: Answer) -> Response[bytes]:
    """An answer (kept or new) as it goes out."""
    return Response(answer.body, status_code=answer.status, media_type="application/json")


def to_us(moment: datetime) -> int:
    """A time as stores keep it: whole microseconds since 1970, UTC."""
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
