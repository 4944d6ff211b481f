"""Which format a configuration is written in, by its name or its content."""

from __future__ import annotations

import re

import tomli

from healthd.config.formats import Format, Reading
from healthd.config.ldirectord.globals import OF_FILE

_VIRTUAL = re.compile(r"^virtual6?[ \t]*=[ \t]*[^\s\"']", re.MULTILINE)
_GLOBAL = re.compile(rf"^(?:{'|'.join(OF_FILE)})[ \t]*=|^supervised[ \t]*$", re.MULTILINE)
_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_WORDS = frozenset((*OF_FILE, "virtual", "virtual6"))


def format_of(reading: Reading, name: str, data: bytes) -> Format:
    """The format of a file: as it is to be taken, or as it is recognised."""
    return reading.format or recognise(name, data)


def recognise(name: str, data: bytes) -> Format:
    """The format of a file by its name's end or, if that says nothing, by its content.

    What is valid TOML is TOML, unless all its keys are words of ldirectord. What is not, is of ldirectord if a line
    begins with `virtual=` and no quote behind it, or with a global directive in a file without any [header].
    """
    if name.endswith(".toml"):
        return Format.TOML
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    tree = _tree(text)
    if tree is not None:
        ours = not tree or not tree.keys() <= _WORDS
        return Format.TOML if ours and not (name.endswith(".cf") and not tree) else Format.LDIRECTORD
    if name.endswith(".cf") or _VIRTUAL.search(text):
        return Format.LDIRECTORD
    return Format.LDIRECTORD if _GLOBAL.search(text) and not _HEADER.search(text) else Format.TOML


def _tree(text: str) -> dict[str, object] | None:
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError):
        return None
