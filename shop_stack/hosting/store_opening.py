"""Opens a service's store where the settings say: a file in the home folder, or a database on a PostgreSQL server."""

from shop_stack.hosting.sqlite_store import SqliteStore
from shop_stack.hosting.store import Store
from shop_stack.settings import SQLITE, Settings


def open_store(settings: Settings, service: str) -> Store:
    """The store of a service; connects at its first use. Raises SettingError for an address that is none."""
    if settings.stores_url == SQLITE:
        return SqliteStore(settings.home.store(service))
    # The driver for PostgreSQL costs 20 MB: only where it is used.
    from shop_stack.hosting.postgres_store import PostgresStore
    from shop_stack.postgres import server_of

    return PostgresStore(server_of(settings.stores_url, settings.store_secrets), service)
