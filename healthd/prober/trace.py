"""A transcript as text for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from healthd.check import shown
from healthd.prober.transcript import Kind, Line, Transcript

ARROWS = {Kind.SENT: ">", Kind.RECEIVED: "<", Kind.RAN: "<", Kind.ERROR: "!"}
LINES_SHOWN = 40
WIDTH = 160
CREDENTIALS = re.compile(rb"(?i)^((?:proxy-)?authorization: *\S+ ).*")


def trace_text(transcript: Transcript) -> str:
    """Every line with its time in milliseconds; bytes are shown as printable text, `>` sent and `<` received.

    Credentials in a request of HTTP are not shown: transcripts are pasted into tickets.
    """
    return "\n".join(text for line in transcript.lines for text in _line(line))


def _line(line: Line) -> Iterator[str]:
    arrow = ARROWS.get(line.kind, "*")
    yield f"{line.at * 1000:9.2f} ms {arrow} {line.kind.value}{f' {line.text}' if line.text else ''}"
    rows = line.data.splitlines()
    for raw in rows[:LINES_SHOWN]:
        row = CREDENTIALS.sub(rb"\1********", raw)
        yield f"{'':12} {arrow}   {shown(row, WIDTH)}"
    if len(rows) > LINES_SHOWN:
        yield f"{'':12} {arrow}   ... {len(rows) - LINES_SHOWN} more lines"
