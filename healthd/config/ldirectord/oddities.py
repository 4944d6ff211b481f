"""Lines that ldirectord takes without a word, and in another way than they look."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_DOTTED = re.compile(r"\d+(\.\d+)+$")
_WORDS = ("scheduler", "protocol", "service", "httpmethod", "schedflags", "smtp")
_SECONDS = ("checktimeout", "negotiatetimeout", "checkinterval", "persistent", "emailalertfreq")
_COUNTS = ("checkcount", "failurecount", "checkport")


def of_header(text: str) -> Iterator[str]:
    """What is odd about virtual=."""
    word, _, rest = text.strip().partition(" ")
    mark = re.match(r"\d+", word, re.ASCII)
    if mark and ":" not in word and mark[0] != word:
        why = "the port is missing, so" if _DOTTED.match(word) else "it is not a number, and"
        yield f'"{word}": {why} stock ldirectord takes it for firewall mark {int(mark[0])}, and so does healthd'
    if rest.strip():
        yield f'"{rest.strip()}" says nothing here; stock ldirectord ignores it, and so does healthd'


def of_value(name: str, value: str, found: Mapping[str, Any]) -> Iterator[str]:
    """What is odd about the value of a directive that is right."""
    taken = found.get(name)
    if name in _WORDS and isinstance(taken, str) and taken.lower() != value.strip('" \t').lower():
        yield f'stock ldirectord takes "{taken}" of this, and so does healthd'
    elif name in _SECONDS + _COUNTS:
        form = r"\d+\s*s?(\s*#.*)?" if name in _SECONDS else r"\d+(\s*#.*)?"
        if not re.fullmatch(form, value.strip('" \t'), re.ASCII):
            yield f"stock ldirectord takes the first number of this, {taken}, and so does healthd"
    elif name == "checktype" and found.get("checktype") == "combined" and not re.fullmatch(r"\d+", value, re.ASCII):
        yield f"a digit makes it the combined check: {found['num_connects']} connects between two negotiations"
    elif look := _LOOKS.get(name):
        yield from look(value)


def _quotes_kept(value: str) -> Iterator[str]:
    if len(value) > 1 and value[0] == value[-1] == '"':
        yield "quotes are a part of this value, as stock ldirectord has it"


def _more_behind(value: str) -> Iterator[str]:
    end = value.rfind('"')
    if value.startswith('"') and end > 0 and value[end + 1 :].strip():
        rest = value[end + 1 :].strip()
        yield f'"{rest}" behind the quotes says nothing; stock ldirectord ignores it, and so does healthd'


_LOOKS: Mapping[str, Callable[[str], Iterator[str]]] = {
    **dict.fromkeys(("servicename", "comment", "maintenancedir", "emailalertfrom"), _quotes_kept),
    **dict.fromkeys(("request", "receive", "login", "database", "load", "callback", "logfile"), _more_behind),
    **dict.fromkeys(("checkcommand", "monitorfile", "virtualhost"), _more_behind),
}
