"""healthd keeps an IPVS table true: probes real servers and sets their weights."""

__version__ = "0.1.0"
