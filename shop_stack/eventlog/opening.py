"""Opening the log that the settings name."""

from shop_stack.eventlog.interface import EventLog
from shop_stack.settings import Settings


def open_log(settings: Settings) -> EventLog:
    """The embedded log of the home folder, or the Kafka cluster of `kafka://HOST:PORT`.

    Creates declared topics that are missing. Raises LogUnavailable when a broker does not answer.
    """
    if settings.log_url.startswith("kafka://"):
        from shop_stack.eventlog.kafka import KafkaLog

        return KafkaLog(settings.log_url.removeprefix("kafka://"))
    from shop_stack.eventlog.embedded import EmbeddedLog

    return EmbeddedLog(settings.home.log)
