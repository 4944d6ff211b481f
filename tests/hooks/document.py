"""The generated part of docs/hooks.md: every kind with its level, MESSAGE_ID, line of text and object of JSON.

Run `python -m tests.hooks.document` after a change.
"""

from __future__ import annotations

import logging
from pathlib import Path

from healthd.events import Event, Kind
from healthd.hooks import words
from healthd.hooks.log import LogHook
from healthd.log import render
from healthd.log.entry import Entry, entry_of

from .samples import sample

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"
BEGIN, END = "<!-- events -->", "<!-- end of events -->"


def logged(event: Event) -> Entry:
    """The entry that the log hook makes of an event."""
    entries: list[Entry] = []
    logger = logging.Logger("healthd.events", logging.DEBUG)
    handler = logging.Handler()
    handler.emit = lambda record: entries.append(entry_of(record))  # type: ignore[method-assign]
    logger.addHandler(handler)
    LogHook(logger).event(event)
    return entries[0]


def section(kind: Kind) -> str:
    """One kind of event."""
    event = sample(kind)
    level = render.level_name(words.level(kind))
    line = render.text(logged(event)).decode().strip()
    document = words.document(event).decode().strip()
    return (
        f"### {kind.value}\n\nLevel {level}, `MESSAGE_ID={words.message_id(kind)}`\n\n"
        f"```\n{line}\n```\n\n```json\n{document}\n```\n"
    )


def page(text: str) -> str:
    """The page with its generated part made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    sections = "\n".join(section(kind) for kind in Kind)
    return f"{head}{BEGIN}\n\n{sections}\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
