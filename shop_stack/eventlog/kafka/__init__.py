"""The event log on Apache Kafka, for stacks that one machine cannot carry."""

from shop_stack.eventlog.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
