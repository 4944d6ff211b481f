"""The hook that is always there: one line of log per event, with its fields as extras."""

from __future__ import annotations

import logging

from healthd.events import Event
from healthd.hooks.base import HookStats
from healthd.hooks.words import fields, level, message_id, sentence, subject

NAME = "healthd.events"


class LogHook:
    """Logs events to a logger; how and where that goes is `healthd.log`'s."""

    name = "log"

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger if logger is not None else logging.getLogger(NAME)
        self._delivered = 0

    def event(self, event: Event) -> None:
        """Log one event, at the time it happened."""
        severity = level(event.kind)
        self._delivered += 1
        if not self._logger.isEnabledFor(severity):
            return
        extra = {**fields(event), "_subject": subject(event), "_message_id": message_id(event.kind)}
        record = self._logger.makeRecord(
            self._logger.name, severity, __file__, 0, "%s", (sentence(event),), None, extra=extra
        )
        record.created = event.at
        self._logger.handle(record)

    def stats(self) -> HookStats:
        """How many events were logged; `healthd.log` knows what became of the lines."""
        return HookStats(self.name, delivered=self._delivered)

    async def close(self, grace: float) -> None:
        """Nothing: the log outlives the hook."""
