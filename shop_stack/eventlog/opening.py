"""Opening the log that the settings name."""

from shop_stack.eventlog.belonging import note_log, noted_log
from shop_stack.eventlog.interface import EventLog
from shop_stack.settings import Settings

KAFKA = "kafka://"


def open_log(settings: Settings) -> EventLog:
    """The embedded log of the home folder, or the Kafka cluster of `kafka://HOST:PORT`.

    Creates declared topics that are missing. Raises LogUnavailable when a broker does not answer, LogRefused when
    it does not let us in, and ForeignLog, with nothing created, when the home belongs to another Kafka log.
    """
    if settings.log_url.startswith(KAFKA):
        from shop_stack.eventlog.kafka import KafkaLog

        known = noted_log(settings.home)
        log = KafkaLog(settings.log_url.removeprefix(KAFKA), known=known, access=settings.kafka)
        if known is None:
            note_log(settings.home, log.log_id)
        return log
    return _embedded(settings)


def open_any_log(settings: Settings) -> EventLog:
    """Like open_log, but whichever log is there, and without a note of it: for the repair. Raises LogUnavailable."""
    if settings.log_url.startswith(KAFKA):
        from shop_stack.eventlog.kafka import KafkaLog

        return KafkaLog(settings.log_url.removeprefix(KAFKA), access=settings.kafka)
    return _embedded(settings)


def _embedded(settings: Settings) -> EventLog:
    from shop_stack.eventlog.embedded import EmbeddedLog

    return EmbeddedLog(settings.home.log)
