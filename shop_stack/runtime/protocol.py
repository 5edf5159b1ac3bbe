"""What a supervisor is asked over its socket and what it answers: one line of JSON each."""

from typing import Literal

import msgspec

LONGEST_LINE = 1 << 24


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`group` also takes the name of a part; `start` starts a part that waits to be told."""

    do: Literal["observe", "scale", "restart", "logs", "start", "stop"]
    group: str = ""
    replica: str | None = None
    replicas: int = 0
    lines: int = 200


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """`error` is the name of a class of errors.py, `message` its sentence; None: `result` is the answer."""

    error: str | None = None
    message: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
