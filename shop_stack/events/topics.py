"""Every topic, declared once with its partitions and retention; the only place a topic is spelled."""

from typing import ClassVar

import msgspec


class Topic(msgspec.Struct, frozen=True):
    """A named stream: how many partitions, how long records stay (None: for ever)."""

    name: str
    partitions: int = 6
    retention_days: float | None = None


BEHAVIOUR = Topic("shop.behaviour", retention_days=30)
CUSTOMERS = Topic("shop.customers")
CATALOG = Topic("shop.catalog")
INVENTORY = Topic("shop.inventory")
ORDERS = Topic("shop.orders")
PAYMENTS = Topic("shop.payments")
SHIPPING = Topic("shop.shipping")
MODELS = Topic("shop.models", partitions=1)
HISTORY = Topic("shop.history", partitions=1)
SAMPLES = Topic("ops.samples", partitions=1, retention_days=2)
ACTIONS = Topic("ops.actions", partitions=1)
INCIDENTS = Topic("ops.incidents", partitions=1)
DEAD_LETTERS = Topic("shop.dead-letters", partitions=1)
TOPICS = {t.name: t for t in (BEHAVIOUR, CUSTOMERS, CATALOG, INVENTORY, ORDERS, PAYMENTS, SHIPPING, MODELS,
                              HISTORY, SAMPLES, ACTIONS, INCIDENTS, DEAD_LETTERS)}  # fmt: skip


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all contracts. `type` is the CloudEvents type with its version; `topic` is where it travels."""

    type: ClassVar[str]
    topic: ClassVar[Topic]
