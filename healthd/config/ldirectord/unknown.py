"""Lines that are no directive: what to say of them, without showing a password, and what may have been meant."""

from __future__ import annotations

import re
from collections.abc import Collection

from healthd.config.ldirectord.directives import OF_VIRTUAL, SERVERS
from healthd.config.ldirectord.globals import OF_FILE
from healthd.config.ldirectord.lines import Item, Part
from healthd.config.ldirectord.listing import secret
from healthd.config.problems import Span, nearest

OF_BLOCK = (*OF_VIRTUAL, *SERVERS)
_OUTSIDE = (*OF_FILE, "virtual", "virtual6")
_WORD = re.compile(r"[\w-]+")


def unknown(item: Item, name: str) -> tuple[Span, str, dict[str, str]]:
    """Place, text and further parts of the problem. name: of the directive; empty if the line has no such form."""
    known = OF_BLOCK if item.part is Part.INSIDE else _OUTSIDE
    found = _WORD.match(item.text)
    word = name or (found[0] if found else "")
    span = Span(item.number, item.column, max(1, len(word) or len(item.text)))
    hint, parts = _hint(word, known, assigned=bool(name))
    return span, f'Unknown command "{_shown(item, word)}"{hint}', parts


def _shown(item: Item, word: str) -> str:
    text = item.text.strip() or item.raw
    return f"{word or text.split()[0].partition('=')[0]}=***" if secret(word or text) else text


def _hint(word: str, known: Collection[str], *, assigned: bool) -> tuple[str, dict[str, str]]:
    """What may help, as the end of a sentence and for programs."""
    if word in known and assigned:
        return '; its value must stand in quotes (")', {"expected": "quotes"}
    if word in known:
        return f"; '=' is missing behind {word}", {"expected": "="}
    if word in OF_BLOCK and known is _OUTSIDE:
        return "; it is a directive of a virtual and stands below its virtual, behind 4 blanks or a tab", {}
    if word != word.lower() in (*_OUTSIDE, *OF_BLOCK):
        return "; directives are in lower case", {"found": word, "suggestion": word.lower()}
    if word in OF_FILE:
        return "; it is a directive of the whole file and stands at the beginning of a line", {}
    meant = nearest(word, known) if word else ""
    return (f"; did you mean '{meant}'?" if meant else ""), {"found": word, "suggestion": meant}
