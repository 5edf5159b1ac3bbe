"""Why the present work is done: the request's or event's cause, carried along the call."""

from collections.abc import Iterable
from contextvars import ContextVar

from shop_stack.hosting.service import Cause

NO_CAUSE = Cause()
current: ContextVar[Cause] = ContextVar("cause", default=NO_CAUSE)


def of_request(headers: Iterable[tuple[bytes, bytes]]) -> Cause:
    """The cause that a request's headers name: `x-request-id` and `traceparent`, both set by the gateway."""
    request_id = traceparent = None
    for name, value in headers:
        if name == b"x-request-id":
            request_id = value.decode("latin-1")
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return Cause(causation=request_id, traceparent=traceparent)
