"""What the process that fits forecasts is asked to do."""

from datetime import datetime
from typing import Literal

import msgspec

Kind = Literal["requests", "sales"]


class Task(msgspec.Struct, frozen=True):
    """What is to be fitted: `made_at` is the forecast's own time, `zone` the one in which days are days."""

    kind: Kind
    made_at: datetime
    zone: str
    services: list[str] = []
