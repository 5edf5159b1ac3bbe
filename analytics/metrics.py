"""How far analytics has read and whether it goes on, for Prometheus."""

from analytics.ingest import Watermark
from shop_stack.exposition import Sample, metric


def metrics_text(watermark: Watermark) -> str:
    """As of the last transaction."""
    positions = [
        ({"topic": topic, "partition": str(number)}, position)
        for topic, partitions in sorted(watermark.positions.items())
        for number, position in sorted(partitions.items())
    ]
    latest: list[Sample] = [({}, watermark.at.timestamp())] if watermark.at is not None else []
    return "".join([
        metric("shopfloor_analytics_position", "gauge", "The next position to read of a partition.", positions),
        metric("shopfloor_analytics_watermark_timestamp_seconds", "gauge",
               "When the latest live event that was read happened, in seconds since 1970.", latest),
        metric("shopfloor_analytics_halted", "gauge", "1 when ingestion has stopped for good.",
               [({}, float(watermark.halted is not None))]),
        metric("shopfloor_analytics_troubled", "gauge", "1 while ingestion waits for something to be mended.",
               [({}, float(watermark.trouble is not None))]),
    ])  # fmt: skip
