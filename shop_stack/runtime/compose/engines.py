"""`python -m shop_stack.runtime.compose.engines`: databases, roles and topics, before any service starts."""

import logging
import os
import sys
import time

from shop_stack.errors import LogRefused, LogUnavailable, ShopfloorError
from shop_stack.eventlog.opening import open_log
from shop_stack.hosting.provisioning import ServerSilent, prepare_stores
from shop_stack.logs import write_json_lines
from shop_stack.runtime.compose.preparing import PGPASS, POSTGRES
from shop_stack.runtime.repairing import repair_at_start
from shop_stack.settings import Settings, from_environment
from shop_stack.stack import read_stack

_PATIENCE_S = 120.0
_PAUSE_S = 1.0
_log = logging.getLogger(__name__)


def make_ready(settings: Settings) -> None:
    """Make what is missing in both engines; send again what the log has lost, before anybody appends to it.

    Raises SettingError when PostgreSQL refuses or the log is another shop's, LogUnavailable when no broker answers.
    """
    vault = settings.store_secrets
    if vault is not None:
        os.environ.setdefault("PGPASSFILE", str(vault / PGPASS))
        stack = read_stack(settings.stack_file)
        prepare_stores(f"{settings.stores_url}/postgres?user={POSTGRES}", vault, [one.name for one in stack.services])
        _log.info("there is a database for each of %d services", len(stack.services))
    repair_at_start(settings, _log.info)
    with open_log(settings) as log:
        _log.info("the log %s has its %d topics", log.log_id, len(log.topics()))


def insist(settings: Settings, patience_s: float = _PATIENCE_S) -> None:
    """`make_ready`, begun again while an engine does not answer: a busy machine is slow, and nobody else tries again.

    Raises what the last try did.
    """
    ends = time.monotonic() + patience_s
    while True:
        try:
            return make_ready(settings)
        except (ServerSilent, LogUnavailable) as error:
            if isinstance(error, LogRefused) or time.monotonic() > ends:
                raise
            _log.warning("%s; it is tried again", error)
            time.sleep(_PAUSE_S)


if __name__ == "__main__":
    write_json_lines("engines")
    try:
        insist(from_environment())
    except ShopfloorError as error:
        _log.error("%s", error)
        sys.exit(1)
