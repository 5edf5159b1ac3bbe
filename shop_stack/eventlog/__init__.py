"""The event log: its interface, the embedded one, Apache Kafka, and what delivery over them needs."""
