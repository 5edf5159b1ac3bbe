"""JSON bodies read as they are described: `"3"` is no number and `1` is not true, as Litestar alone would have it."""

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded straight into the type that its handler takes, strictly."""

    async def json(self) -> Any:
        """The body as the handler's type. Raises ValidationException (400) naming the field."""
        field = self.scope["route_handler"].parsed_data_field
        body = await self.body()
        if field is None or not body:
            return await super().json()
        try:
            return decoded(body, field.annotation)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValidationException(
                f"Validation failed for {self.method} {self.url.path}: data: {error}",
                extra=[{"message": str(error), "key": "data", "source": "body"}],
            ) from error


def decoded(body: bytes, kind: Any) -> Any:
    """A body as this type, strictly; `3.0` is a whole number, as JSON Schema has it. Raises msgspec.MsgspecError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
    return msgspec.convert(_whole(msgspec.json.decode(body)), type=kind)


def _whole(value: Any) -> Any:
    """The same with whole floats as integers."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    return value
