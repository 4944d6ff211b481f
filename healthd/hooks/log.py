"""The hook that is always there: one line of log per event, with its fields as extras.

In ldirectord's style (`[log] style`) an event may be several lines, in the words that ldirectord's log has.
"""

from __future__ import annotations

import logging

from healthd.config.schema import Config
from healthd.events import Event, Kind
from healthd.hooks import ldirectord_words
from healthd.hooks.base import HookStats
from healthd.hooks.words import fields, level, message_id, sentence, subject

NAME = "healthd.events"


class LogHook:
    """Logs events to a logger; how and where that goes is `healthd.log`'s."""

    name = "log"

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger if logger is not None else logging.getLogger(NAME)
        self._delivered = 0
        self._stock = False
        self._stopping: Event | None = None

    def configure(self, config: Config) -> None:
        """Use the words of this configuration's style from now on."""
        self._stock = config.settings.log.style == "ldirectord"

    def event(self, event: Event) -> None:
        """Log one event, at the time it happened."""
        self._delivered += 1
        if event.kind is Kind.STOPPING:
            self._stopping = event
        for line in self._lines(event):
            self._log(event, line)

    def _lines(self, event: Event) -> tuple[str, ...]:
        if not self._stock:
            return (sentence(event),)
        return ldirectord_words.lines(event, stopping=self._stopping is not None)

    def _log(self, event: Event, line: str) -> None:
        severity = level(event.kind)
        if not self._logger.isEnabledFor(severity):
            return
        extra = {**fields(event), "_subject": subject(event), "_message_id": message_id(event.kind)}
        record = self._logger.makeRecord(self._logger.name, severity, __file__, 0, "%s", (line,), None, extra=extra)
        record.created = event.at
        self._logger.handle(record)

    def stats(self) -> HookStats:
        """How many events were logged; `healthd.log` knows what became of the lines."""
        return HookStats(self.name, delivered=self._delivered)

    async def close(self, grace: float) -> None:
        """Nothing but ldirectord's last line: the log outlives the hook."""
        if self._stock and self._stopping is not None:
            self._logger.info("%s", ldirectord_words.ended(self._stopping))
