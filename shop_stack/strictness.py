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
            return msgspec.json.decode(body, type=field.annotation)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValidationException(
                f"Validation failed for {self.method} {self.url.path}: data: {error}",
                extra=[{"message": str(error), "key": "data", "source": "body"}],
            ) from error
