"""A schedule's books as the auditor opens them: its stores, the provider's ledger and the log, all in memory."""

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from shop_stack.operations.audit import Report
from shop_stack.operations.audit_home import shop_of
from shop_stack.operations.audit_log import LogRows, LogThroughInterface
from shop_stack.operations.audit_run import Shop as Audited
from shop_stack.operations.audit_run import run_audit
from shop_stack.settings import Settings
from shop_stack.trials.bank import Bank
from shop_stack.trials.plan import SERVICES
from shop_stack.trials.shop import Shop, shelf

_IN_THIS_PROCESS = 1 << 60


@dataclass(frozen=True)
class MemoryBooks:
    """What of a schedule is audited. Of a service that it does not run there is nothing."""

    shop: Shop
    bank: Bank

    def store(self, service: str) -> sqlite3.Connection:
        """As it is now: a copy, since whoever audits closes what was opened."""
        kept = self.shop.stores.get(service)
        return _copy_of(kept.image()) if kept is not None else _copy_of(b"")

    def ledger(self) -> sqlite3.Connection:
        """The provider's own."""
        return _copy_of(self.bank.ledger.image())

    def operations(self) -> sqlite3.Connection:
        """Nobody operates a schedule's shop."""
        return _copy_of(b"")

    def log(self) -> LogRows:
        """Read as any log that is no folder of files."""
        return LogThroughInterface(self.shop.log, owned=False)


def _copy_of(image: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    if image:
        connection.deserialize(image)
    return connection


def audited(shop: Shop, bank: Bank, now: datetime) -> Report:
    """The audit of a schedule at rest: strict, so that whatever is open is wrong."""
    of = replace(_services_of(), step_deadline_s=shop.plan.step_deadline_s)
    return run_audit(MemoryBooks(shop, bank), lambda: of, {}, now, strict=True, few=_IN_THIS_PROCESS)


@cache
def _services_of() -> Audited:
    settings: Settings = shelf().settings
    every = shop_of(settings)
    return replace(
        every,
        services=[name for name in every.services if name in SERVICES],
        publishes={name: topics for name, topics in every.publishes.items() if name in SERVICES},
        consumers=[consumer for consumer in every.consumers if consumer.name in SERVICES],
    )
