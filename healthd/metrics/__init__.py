"""What the daemon tells Prometheus, in its text format or as OpenMetrics."""

from healthd.metrics.exposition import Exposition

__all__ = ["Exposition"]
