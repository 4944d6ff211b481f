"""What each key does. Pure."""

from __future__ import annotations

from dataclasses import replace

from healthd.top.cells import folded
from healthd.top.columns import COLUMNS
from healthd.top.model import (
    Browsing,
    Confirming,
    Filtering,
    Note,
    Reading,
    Reasoning,
    Step,
    Top,
    Wish,
    arranged,
    moved,
)
from healthd.top.rows import OUT, Document
from healthd.top.words import Explain, Key, Order, Pressed

LONGEST_REASON = 200

HELP = """\
q            quit
up down j k  another server; PgUp, PgDn, Home and End, too
s or > <     sort by the next column, by the one before
r            turn the order around
/            only what has a text in its service, name, address, phase or reasons; Esc takes that back
f            only what is down, unknown, failing or not as it should be
e or Enter   why it is as it is, and what would bring it back
d            drain it: no new connections, the old ones go on
m            maintenance: as if it had failed
u            undrain: end what operators asked for, be it a drain, maintenance or a removal
v            events at the bottom, or not
p            pause: what is shown stays as it is
Esc          end a filter, a question, or this text

STATE says the phase, what takes a server out with who asked for it, and what else is not as configured.
STREAK: answers in a row that speak against its state, of those that would change it.
WEIGHT: what the table has now and, where it differs, what is configured.
ACT and INACT are connections, each with its change per second; AGO is the time since the last answer.

Orders are about one server of one service. `healthd drain` and `maintenance` take a host in all services, too, count
connections down, and have --force for what is refused because too few servers would be left."""

MOVES = {
    Key.UP: -1,
    "k": -1,
    Key.DOWN: 1,
    "j": 1,
}


def pressed(top: Top, key: Pressed) -> Step:
    """The view after a key, and what the daemon is to be asked for."""
    top = replace(top, note=None)
    match top.mode:
        case Browsing():
            return _browsing(top, key)
        case Filtering(before):
            return _filtering(top, before, key), ()
        case Reasoning() as reasoning:
            return _reasoning(top, reasoning, key), ()
        case Confirming(_, orders):
            return replace(top, mode=Browsing()), orders if key in ("y", "Y") else ()
        case Reading() as reading:
            return _reading(top, reading, key), ()


def _browsing(top: Top, key: Pressed) -> Step:
    to = _moved_to(key, top.index, top.list_lines, len(top.shown) - 1)
    if to is not None:
        return moved(top, to), ()
    match key:
        case "e" | Key.ENTER if top.row:
            names = top.row.names
            return replace(top, mode=Reading(" ".join(names), "asking ...", names)), (Explain(names),)
        case "d" | "m" | "u":
            return _changing(top, key), ()
    return _looking(top, key), ()


def _looking(top: Top, key: Pressed) -> Top:
    """Keys that change what is shown, and nothing else."""
    match key:
        case "q":
            return replace(top, ended=True)
        case "?":
            return replace(top, mode=Reading("keys", HELP))
        case "/":
            return replace(top, mode=Filtering(top.filter))
        case Key.ESCAPE:
            return arranged(replace(top, filter="", failed_only=False))
        case "s" | ">" | "<":
            step = -1 if key == "<" else 1
            column = COLUMNS[(COLUMNS.index(top.column) + step) % len(COLUMNS)]
            return arranged(replace(top, column=column, turned=False))
        case "r":
            return arranged(replace(top, turned=not top.turned))
        case "f":
            return arranged(replace(top, failed_only=not top.failed_only))
        case "v":
            return arranged(replace(top, events_shown=not top.events_shown))
        case "p":
            return replace(top, paused=not top.paused)
    return top


def _moved_to(key: Pressed, at: int, page: int, last: int) -> int | None:
    """Where a key leads in something that is looked at in pages; None if it leads nowhere."""
    match key:
        case Key.UP | Key.DOWN | "j" | "k":
            return at + MOVES[key]
        case Key.PAGE_UP | Key.PAGE_DOWN:
            return at + (page if key is Key.PAGE_DOWN else -page)
        case Key.HOME:
            return 0
        case Key.END:
            return last
    return None


# --- typing -------------------------------------------------------------------------------------------------------


def _typed(text: str, key: Pressed) -> str:
    match key:
        case Key.BACKSPACE:
            return text[:-1]
        case str() if key.isprintable():
            return (text + key)[:LONGEST_REASON]
    return text


def _filtering(top: Top, before: str, key: Pressed) -> Top:
    match key:
        case Key.ENTER:
            return replace(top, mode=Browsing())
        case Key.ESCAPE:
            return arranged(replace(top, mode=Browsing(), filter=before))
        case Key.UP | Key.DOWN:
            return moved(top, top.index + MOVES[key])
    return arranged(replace(top, filter=_typed(top.filter, key)))


def _reasoning(top: Top, reasoning: Reasoning, key: Pressed) -> Top:
    match key:
        case Key.ESCAPE:
            return replace(top, mode=Browsing())
        case Key.ENTER:
            wish, why = reasoning.wish, reasoning.text.strip()
            question = f"{wish.what}{f' ({why})' if why else ''}"
            return replace(top, mode=Confirming(question, (_order(top, wish, why),)))
    return replace(top, mode=replace(reasoning, text=_typed(reasoning.text, key)))


def _reading(top: Top, reading: Reading, key: Pressed) -> Top:
    if key in (Key.ESCAPE, Key.ENTER, "q", "e", "?"):
        return replace(top, mode=Browsing())
    last = max(0, sum(1 for _ in folded(reading.text, top.width)) - top.text_lines)
    at = min(reading.offset, last)
    to = _moved_to(key, at, top.text_lines, last)
    return replace(top, mode=replace(reading, offset=max(0, min(at if to is None else to, last))))


# --- orders -------------------------------------------------------------------------------------------------------


def _changing(top: Top, key: Pressed) -> Top:
    """Keys that ask for something to be done; nothing is, until a reason is typed and a question answered."""
    if top.row is None:
        return top
    if not top.may_write:
        return replace(top, note=Note("this user may only look; root and the daemon's own user may do that"))
    if not top.row.is_server:
        return replace(top, note=Note("this is no server that can be taken out"))
    whom = " of ".join(reversed(top.row.names))
    match key:
        case "d":
            return replace(top, mode=Reasoning(Wish("drain", top.row.names, f"drain {whom}")))
        case "m":
            return replace(top, mode=Reasoning(Wish("maintenance", top.row.names, f"maintenance for {whom}")))
    asked = [one for one in top.row.real["overrides"] if one["kind"] in OUT.values()]
    if not asked:
        return replace(top, note=Note("no operator asked for anything here that takes it out"))
    question = f"end {', '.join(map(_what, asked))}"
    return replace(top, mode=Confirming(question, tuple(map(_ending, asked))))


def _order(top: Top, wish: Wish, why: str) -> Order:
    body = {"names": list(wish.names), "kind": wish.kind, "why": why}
    return Order("POST", body if top.who is None else {**body, "who": top.who}, f"{wish.what}: done")


def _ending(override: Document) -> Order:
    """An override is ended by exactly the names that it was asked for with."""
    names = [name for name in (override["service"], override["server"]) if name]
    return Order("DELETE", {"names": names, "kinds": [override["kind"]]}, f"ended: {_what(override)}")


def _what(override: Document) -> str:
    whom = " of ".join(filter(None, (override["server"], override["service"])))
    return f"{override['kind']} for {whom}{'' if override['service'] else ' in every service'} by {override['who']}"
