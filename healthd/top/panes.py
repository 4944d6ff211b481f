"""The view -> the lines of the screen. Pure; only the servers that are on the screen are put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from healthd.show import SILENT, ago, hooks_in_trouble
from healthd.top.cells import Line, Span, Style, cells, clipped, fitted, folded, line
from healthd.top.columns import table
from healthd.top.model import Confirming, Filtering, Reading, Reasoning, Top
from healthd.top.rows import Document, taken_out
from healthd.top.words import Status

LOOKING = "? help  q quit  e explain  / filter  f failed  s sort"
ORDERS = "d drain  u undrain  m maintenance"
OTHERS = "r turn  v events  p pause"
BAD_EVENTS = ("-down", "-lost", "-on", "-failed", "-refused")
GOOD_EVENTS = ("-up", "-back", "-off")


def lines(top: Top) -> tuple[Line, ...]:
    """As many lines as the screen has, none wider than it is; the last one leaves the screen's last cell free."""
    whole = [*_head(top), *(_text(top, top.mode) if isinstance(top.mode, Reading) else _list(top))]
    whole = [*(one.cut(top.width) for one in whole), _bottom(top).cut(top.width - 1)]
    return tuple(whole[: top.height - 1] + whole[-1:])[: top.height]


# --- the head -----------------------------------------------------------------------------------------------------


def _head(top: Top) -> Iterator[Line]:
    if top.status is None:
        yield line("healthd top", Style.STRONG)
        yield Line()
    else:
        document = top.status.document
        yield Line(tuple(_counts(top, document, top.status)))
        yield Line(tuple(_work(document)))
    marks = [f"filter {top.filter!r}"] if top.filter else []
    marks += ["failed only"] if top.failed_only else []
    marks += ["PAUSED"] if top.paused else []
    alarms = list(_alarms(top))
    yield Line((Span("".join(f"{mark}  " for mark in marks), Style.WARNING), Span("; ".join(alarms), Style.BAD)))


def _counts(top: Top, document: Document, status: Status) -> Iterator[Span]:
    servers = [row for row in top.rows if row.is_server]
    phases = Counter(row.real["phase"] for row in servers)
    out = sum(map(taken_out, servers))
    yield Span(f"healthd {document['healthd']}", Style.STRONG)
    yield Span(f"  {status.clock}", Style.BAD if top.away else Style.DIM)
    yield Span(f"  {_several(len(document['services']), 'service')}  {_several(len(servers), 'server')}: ")
    yield Span(f"{phases['up']} up", Style.GOOD if phases["up"] else Style.PLAIN)
    yield Span(f"  {phases['down']} down", Style.BAD if phases["down"] else Style.PLAIN)
    yield Span(f"  {phases['unknown']} unknown", Style.WARNING if phases["unknown"] else Style.PLAIN)
    yield Span(f"  {out} taken out" if out else "", Style.OUT)


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _work(document: Document) -> Iterator[Span]:
    """What the prober does, and the table."""
    prober, kept = document["prober"], document["table"]
    if prober["age"] is None:
        yield Span(f"{_several(prober['probes'], 'probe')}, none made yet")
    else:
        made = prober["passed"] + prober["failed"] + prober["inconclusive"]
        yield Span(f"{made} probes/s, {prober['failed']} failed")
        yield Span(f", {prober['inconclusive']} inconclusive" if prober["inconclusive"] else "", Style.WARNING)
        yield Span(f"; late by {prober['lateness_p99_ms']} ms (p99)")
        yield Span(f", {prober['missed']} missed" if prober["missed"] else "", Style.WARNING)
        yield Span(f"; heard {ago(prober['age'])} ago", Style.BAD if prober["age"] > SILENT else Style.PLAIN)
    written = f"table ok, {_several(kept['writes'], 'write')}" if kept["ok"] else "NO TABLE"
    yield Span(f"; {written}", Style.PLAIN if kept["ok"] else Style.BAD)


def _alarms(top: Top) -> Iterator[str]:
    """What somebody must know before anything else, the worst first."""
    if top.away:
        yield f"NO ANSWER since {top.away.clock}: {top.away.said}"
    if top.status is None:
        return
    document = top.status.document
    if not document["table"]["ok"]:
        yield f"THE TABLE CANNOT BE KEPT: {document['table']['error']}"
    age = document["prober"]["age"]
    if age is not None and age > SILENT:
        yield f"THE PROBER HAS SAID NOTHING FOR {ago(age)}"
    yield from _services_in_need(document)
    yield from hooks_in_trouble(document.get("hooks", ()))
    if document["unsaved"]:
        yield f"overrides do not live through a restart: {document['unsaved']}"


def _services_in_need(document: Document) -> Iterator[str]:
    services = document["services"]
    lacking = [service["name"] for service in services if service["reals"] and not any(_serving(service))]
    if lacking:
        yield f"no server of {', '.join(lacking[:3])}{_more(lacking)} takes connections"
    absent = [service["name"] for service in services if not service["present"]]
    if absent:
        yield f"not in the table: {', '.join(absent[:3])}{_more(absent)}"
    yield from (f"the table refused to {service['refused']}" for service in services if service["refused"])
    edited = [service["name"] for service in services if service["edited"]]
    if edited:
        yield f"edited by somebody else: {', '.join(edited[:3])}{_more(edited)}"


def _serving(service: Document) -> Iterator[bool]:
    return (bool(real["weight"]) for real in service["reals"])


def _more(names: list[str]) -> str:
    return f" and {len(names) - 3} more" if len(names) > 3 else ""


# --- list, events, text -------------------------------------------------------------------------------------------


def _list(top: Top) -> Iterator[Line]:
    visible = top.shown[top.offset : top.offset + top.list_lines]
    columns = table(top.shown, visible, top.width, top.column, turned=top.turned)
    yield columns.head()
    for at, row in enumerate(visible, top.offset):
        shown = columns.row(row, marked=at == top.index)
        yield shown.faded() if top.away else shown
    blank = top.list_lines - len(visible)
    if blank and not visible and top.status is not None:
        yield line("  nothing passes the filter; Esc ends it" if top.rows else "  no servers are configured", Style.DIM)
        blank -= 1
    yield from (Line() for _ in range(blank))
    if top.event_lines:
        yield from _events(top)


def _events(top: Top) -> Iterator[Line]:
    title = f"EVENTS  {top.unheard}" if top.unheard else "EVENTS"
    yield line(fitted(title, top.width), Style.BAR)
    newest = top.events[-top.event_lines :]
    for event in newest:
        yield Line((Span(f"{_clock(event['at'])} ", Style.DIM), Span(event["message"], _event_style(event["kind"]))))
    yield from (Line() for _ in range(top.event_lines - len(newest)))


def _clock(at: str) -> str:
    """Time of day of an RFC 3339 time, which is UTC."""
    return f"{at[11:19]}Z"


def _event_style(kind: str) -> Style:
    if kind.endswith(BAD_EVENTS):
        return Style.BAD
    return Style.GOOD if kind.endswith(GOOD_EVENTS) else Style.PLAIN


def _text(top: Top, reading: Reading) -> Iterator[Line]:
    whole = list(folded(reading.text, top.width))
    last = max(0, len(whole) - top.text_lines)
    offset = min(reading.offset, last)
    yield line(fitted(reading.title, top.width), Style.BAR)
    seen = whole[offset : offset + top.text_lines]
    yield from (line(text) for text in seen)
    yield from (Line() for _ in range(top.text_lines - len(seen)))


# --- the bottom ---------------------------------------------------------------------------------------------------


def _bottom(top: Top) -> Line:
    """What is typed, asked, said, or could be pressed; of what is typed, the end is seen."""
    match top.mode:
        case Filtering():
            return _prompt(top, "filter: ", top.filter)
        case Reasoning(wish, text):
            return _prompt(top, f"{wish.what}, why? ", text)
        case Confirming(question):
            return line(f"{clipped(question, max(0, top.width - 20))}? y = yes, else no", Style.WARNING)
        case Reading() if top.note is None:
            return line("Esc back  up down PgUp PgDn Home End", Style.DIM)
    if top.note:
        return line(top.note.text, Style.GOOD if top.note.good else Style.BAD)
    keys = (LOOKING, *((ORDERS,) if top.may_write else ()), OTHERS)
    return line("  ".join(keys), Style.DIM)


def _prompt(top: Top, question: str, text: str) -> Line:
    left = max(4, top.width - cells(question) - 3)
    return Line((Span(question, Style.STRONG), Span(text[-left:]), Span("_", Style.STRONG)))
