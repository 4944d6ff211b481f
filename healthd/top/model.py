"""What `healthd top` shows, as a value. Pure: a message or a key and a view give the next view, and what to ask for.

The selected server stays selected while rows come, go and move; only if it is gone, another takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from healthd.top.columns import COLUMNS, Column, ordered
from healthd.top.rows import Counts, Document, Key, Row, counts_of, has_text, is_failed, rows_of
from healthd.top.words import Answered, Away, Explain, Explained, Happened, Message, Order, Request, Status, Unheard

MOST_EVENTS = 100
HEAD_LINES = 3
LEAST_FOR_EVENTS = 14
"""Lines that a screen must have to have events at its bottom."""


@dataclass(frozen=True, slots=True)
class Browsing:
    """The list has the keys."""


@dataclass(frozen=True, slots=True)
class Filtering:
    """A text is typed that rows must have. before: what it was."""

    before: str


@dataclass(frozen=True, slots=True)
class Wish:
    """An override that is thought of. kind: as the daemon names it. what: in words."""

    kind: str
    names: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The reason of a wish is typed."""

    wish: Wish
    text: str = ""


@dataclass(frozen=True, slots=True)
class Confirming:
    """Orders wait for a yes. question: without its question mark."""

    question: str
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A text is read. names: of what is explained, which is asked again with each status; none for the help."""

    title: str
    text: str
    names: tuple[str, ...] = ()
    offset: int = 0


Mode = Browsing | Filtering | Reasoning | Confirming | Reading


@dataclass(frozen=True, slots=True)
class Note:
    """What is said at the bottom until the next key."""

    text: str
    good: bool = False


@dataclass(frozen=True, slots=True)
class Top:
    """The view. rows: all; shown: those that pass the filter, in their order; offset: the first on the screen.

    counts: connections of each server in the last status. may_write: whether this user may give orders; who: for
    whom, if not for themselves.
    """

    height: int
    width: int
    may_write: bool = False
    who: str | None = None
    status: Status | None = None
    counts: Mapping[Key, Counts] | None = None
    away: Away | None = None
    unheard: str = ""
    rows: tuple[Row, ...] = ()
    shown: tuple[Row, ...] = ()
    selected: Key | None = None
    index: int = 0
    offset: int = 0
    column: Column = COLUMNS[0]
    turned: bool = False
    filter: str = ""
    failed_only: bool = False
    events: tuple[Document, ...] = ()
    events_shown: bool = True
    paused: bool = False
    mode: Mode = Browsing()
    note: Note | None = None
    ended: bool = False

    @property
    def row(self) -> Row | None:
        """The selected server."""
        return self.shown[self.index] if self.shown else None

    @property
    def event_lines(self) -> int:
        """Lines for events, without their title."""
        return min(8, self.height // 4 - 1) if self.events_shown and self.height >= LEAST_FOR_EVENTS else 0

    @property
    def list_lines(self) -> int:
        """Lines for servers, between the titles of the columns and the events."""
        below = 1 + (self.event_lines + 1 if self.event_lines else 0)
        return max(0, self.height - HEAD_LINES - 1 - below)

    @property
    def text_lines(self) -> int:
        """Lines for a text, which takes the place of list and events."""
        return max(0, self.height - HEAD_LINES - 2)


Step = tuple[Top, tuple[Request, ...]]


def took(top: Top, message: Message) -> Step:
    """The view after a message of the daemon."""
    match message:
        case Status():
            return _with_status(top, message)
        case Away():
            return replace(top, away=replace(message, clock=top.away.clock if top.away else message.clock)), ()
        case Happened(event, first):
            return replace(top, events=_with_event(top, event, first=first), unheard=""), ()
        case Unheard(said):
            return replace(top, unheard=said), ()
        case Explained(names, text):
            if isinstance(top.mode, Reading) and top.mode.names == names:
                return replace(top, mode=replace(top.mode, text=text)), ()
            return top, ()
        case Answered(said, good):
            return replace(top, note=Note(said, good)), ()


def _with_status(top: Top, status: Status) -> Step:
    """While it is paused, only that the daemon is there. A change per second needs two statuses of one daemon."""
    if top.paused:
        return replace(top, away=None), ()
    same = top.status is not None and top.away is None
    before = top.counts if same and top.counts is not None else {}
    seconds = status.at - top.status.at if same and top.status is not None else 0.0
    rows = rows_of(status.document, before, seconds)
    counts = {row.key: found for row in rows if (found := counts_of(row.real)) is not None}
    again = (Explain(top.mode.names),) if isinstance(top.mode, Reading) and top.mode.names else ()
    return arranged(replace(top, status=status, counts=counts, away=None, rows=rows)), again


def _with_event(top: Top, event: Document, *, first: bool) -> tuple[Document, ...]:
    if top.paused:
        return top.events
    return (event,) if first else (*top.events, event)[-MOST_EVENTS:]


def resized(top: Top, height: int, width: int) -> Top:
    """The view on a screen of another size."""
    return arranged(replace(top, height=height, width=width))


def arranged(top: Top) -> Top:
    """The view with its rows filtered and sorted anew, and the selected one still selected and on the screen."""
    rows = top.rows
    if top.failed_only:
        rows = tuple(row for row in rows if is_failed(row))
    if top.filter:
        text = top.filter.lower()
        rows = tuple(row for row in rows if has_text(row, text))
    shown = ordered(rows, top.column, turned=top.turned)
    index = next((at for at, row in enumerate(shown) if row.key == top.selected), top.index)
    return moved(replace(top, shown=shown), index)


def moved(top: Top, index: int) -> Top:
    """The view with another row selected; the list is scrolled no further than that needs."""
    index = max(0, min(index, len(top.shown) - 1))
    most = max(0, len(top.shown) - top.list_lines)
    offset = min(max(top.offset, index - top.list_lines + 1), index, most)
    selected = top.shown[index].key if top.shown else top.selected
    return replace(top, index=index, offset=max(0, offset), selected=selected)
