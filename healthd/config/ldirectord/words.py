"""Forms of values that many directives share. Each takes the text behind `=` and gives what ldirectord makes of it.

They search rather than match, as it does: the first run of digits is the number, the first run of letters the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from healthd.config.ldirectord.names import Machine
from healthd.config.ldirectord.values import Stages
from healthd.model import Family

Values = Mapping[str, Any]


class Wrong(Exception):
    """A value is refused; the text is ldirectord's."""


class Unknown(Exception):
    """The line is no directive at all, as where quotes are missing that must be there."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a directive may look at. port: that of the virtual service as it was written. protocol: as it is so far."""

    machine: Machine
    family: Family = Family.IPV4
    mark: bool = False
    port: str | None = None
    login: str = ""
    passwd: str = ""


Form = Callable[[str, Around], Values]

_QUOTED = re.compile(r'"(.*)"')
_DIGITS = re.compile(r"\d+", re.ASCII)
_STAGES: Mapping[str, Stages] = {
    "all": Stages.ALL,
    "starting": Stages.STARTING,
    "stopping": Stages.STOPPING,
    "running": Stages.RUNNING,
    "reloading": Stages.RELOADING,
}


def between_quotes(value: str) -> str:
    """From the first quote to the last. Raises Unknown without quotes."""
    found = _QUOTED.match(value)
    if found is None:
        raise Unknown
    return found[1]


def quotes_optional(value: str) -> str:
    """The text between quotes, or all of it."""
    found = _QUOTED.match(value)
    return found[1] if found else value


def quoted(name: str, message: str) -> Form:
    """A text that must stand in quotes and must not be empty."""

    def form(value: str, around: Around) -> Values:
        text = between_quotes(value)
        if not text:
            raise Wrong(message)
        return {name: text}

    return form


def bare(name: str, message: str | None = None, *, unquote: bool = False) -> Form:
    """All the rest of the line. message: if it must not be empty. unquote: it may stand in quotes."""

    def form(value: str, around: Around) -> Values:
        text = quotes_optional(value) if unquote else value
        if message is not None and not text:
            raise Wrong(message)
        return {name: text}

    return form


def number(name: str, message: str, *, zero: bool = False, strictly: bool = False) -> Form:
    """The first run of digits. zero: 0 will do. strictly: 00 is 0, too, which most directives do not see."""

    def form(value: str, around: Around) -> Values:
        found = _DIGITS.search(value)
        if found is None or (not zero and (found[0] == "0" or (strictly and int(found[0]) == 0))):
            raise Wrong(message)
        return {name: found[0]}

    return form


def leading_number(name: str, message: str) -> Form:
    """Digits right behind the equals sign."""

    def form(value: str, around: Around) -> Values:
        found = _DIGITS.match(value)
        if found is None:
            raise Wrong(message)
        return {name: found[0]}

    return form


def yes_or_no(name: str) -> Form:
    """One of two words, and nothing behind it."""

    def form(value: str, around: Around) -> Values:
        if value not in ("yes", "no"):
            raise Wrong(f"{name} must be 'yes' or 'no'")
        return {name: value}

    return form


def refused(message: str) -> Form:
    """A directive that there once was."""

    def form(value: str, around: Around) -> Values:
        raise Wrong(message)

    return form


def stages(value: str, around: Around) -> Values:
    """emailalertstatus: states in which mail is sent."""
    words = re.split(r"\s*,\s*", value, flags=re.ASCII)
    while words and not words[-1]:
        words.pop()
    found, none = Stages.NONE, "none" in words
    for word in words:
        if word == "none":
            continue
        if word not in _STAGES:
            raise Wrong(f'invalid email alert status at: "{word}"')
        found |= _STAGES[word]
        if none:
            raise Wrong(f'invalid email alert status: "{word}" specified with "none"')
    return {"emailalertstatus": found}


def recipients(value: str, around: Around) -> Values:
    """emailalert: addresses, which may stand in quotes."""
    found = re.fullmatch(r'"([^"]*)"', value)
    text = found[1] if found else value
    if not text:
        raise Wrong("no email address specified")
    return {"emailalert": text}


def mail_server(value: str, around: Around) -> Values:
    """smtp: a host name; what follows it is dropped."""
    found = re.match(r"[0-9A-Za-z._+-]+", value)
    if found is None:
        raise Wrong("invalid SMTP server address")
    return {"smtp": found[0]}
