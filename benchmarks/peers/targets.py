"""Loopback addresses of so many targets."""

from __future__ import annotations

PER_SERVICE = 100


def address(number: int) -> str:
    """Address of a target; each service has a hundred of them in a row."""
    service, last = divmod(number, PER_SERVICE)
    return f"127.{10 + service // 250}.{service % 250}.{last + 1}"
