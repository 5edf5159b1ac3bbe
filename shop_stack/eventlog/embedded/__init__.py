"""The embedded event log: SQLite files in one folder, shared by the processes of one machine."""

from shop_stack.eventlog.embedded.log import EmbeddedLog

__all__ = ["EmbeddedLog"]
