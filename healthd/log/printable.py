"""Text of strangers made safe to show: one line, no control characters, quotes where they are needed."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    r"""The text in one line: what moves a cursor, ends a line or turns its direction is shown as \n, \x1b, \u202e."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def pair(key: str, value: object) -> str:
    """One key=value of a line of text; quoted, with a backslash before quotes and backslashes, unless a plain word."""
    text = printable("; ".join(value) if isinstance(value, list) else str(value))
    if text and not any(c in ' "=\\|' for c in text):
        return f"{key}={text}"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{escaped}"'


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """All that say something as key=value, in order."""
    return " ".join(pair(key, value) for key, value in items if value not in (None, "", []))
