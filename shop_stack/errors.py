"""Every error that Shopfloor raises on purpose, as one tree; each names what was wrong and what to do."""


class ShopfloorError(Exception):
    """Root of the tree. The message is one sentence for a person, with what to do."""


class SettingError(ShopfloorError):
    """A setting, a command's argument or a line of stack.toml is wrong; the message names the key."""


class HomeInUse(ShopfloorError):
    """Another supervisor runs on this home folder."""


class NotRunning(ShopfloorError):
    """No supervisor answers on this home folder."""


class AccessDenied(ShopfloorError):
    """A token is missing, foreign, expired, or its role may not do this."""


class EventLogError(ShopfloorError):
    """Root of what the event log raises."""


class LogUnavailable(EventLogError):
    """The log does not answer now; trying again later is right."""


class LogRefused(LogUnavailable):
    """The cluster does not let us in, or its certificate is not trusted; it stays so until a setting is mended."""


class RecordTooLarge(EventLogError):
    """A record's key, value and headers exceed 900 KiB; nothing of the batch was appended."""


class UnknownTopic(EventLogError):
    """The topic is not declared in events.py."""


class ForeignLog(EventLogError):
    """A stored position belongs to a log with another log_id; the reader must not go on."""


class PositionPastEnd(EventLogError):
    """A stored position lies beyond the partition's end: the log has lost its tail."""


class PositionBelowStart(EventLogError):
    """The records at this position were removed by retention."""


class Fenced(EventLogError):
    """This consumer was replaced by a rebalance; its commit is refused and its records belong to another."""


class BadEvent(ShopfloorError):
    """A record is not an event that events.py knows: bad JSON, unknown type or version, or wrong fields."""


class Conflict(ShopfloorError):
    """The state has moved on: a versioned update found another version."""


class MeshError(ShopfloorError):
    """A call between services failed or passed its deadline."""


class ActionRefused(ShopfloorError):
    """An operator's action is outside its bounds, lacks a reason, or names no such service."""


class ImportRefused(ShopfloorError):
    """A file cannot be imported; the message names the row and the column."""
