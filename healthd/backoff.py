"""How long to wait before starting again what ended. Pure: time is an argument, in seconds of any monotonic clock."""

from __future__ import annotations


class Backoff:
    """Pauses that double with each failure, from `first` to `most` seconds; after `calm` seconds of success, anew."""

    def __init__(self, first: float = 0.25, most: float = 30.0, calm: float = 60.0) -> None:
        self._first = first
        self._most = most
        self._calm = calm
        self._pause = 0.0
        self._until = 0.0
        self._well_since: float | None = None

    def succeeded(self, now: float) -> None:
        """It works since now."""
        self._well_since = now

    def failed(self, now: float) -> float:
        """It failed. Returns the pause."""
        was_well = self._well_since is not None and now - self._well_since >= self._calm
        self._pause = self._first if was_well or not self._pause else min(2 * self._pause, self._most)
        self._well_since = None
        self._until = now + self._pause
        return self._pause

    def remaining(self, now: float) -> float:
        """Seconds until the next try; 0 or less: now."""
        return self._until - now
