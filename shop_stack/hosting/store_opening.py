"""Opens a service's store where the settings say: a file in the home folder, or a database on a PostgreSQL server."""

from shop_stack.hosting.sqlite_store import SqliteStore
from shop_stack.hosting.store import Store
from shop_stack.settings import Settings


def open_store(settings: Settings, service: str) -> Store:
    """The store of a service; connects at its first use."""
    return SqliteStore(settings.home.store(service))
