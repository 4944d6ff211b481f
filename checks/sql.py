"""What the checks that ask a database have in common: rules for their options, and what the first row says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from checks.rules import one_line, text_pattern, text_regex
from healthd.check import CheckFailed, Reason, shown

LONGEST = 200
"""Most characters of a server's own words in a detail."""


def no_zero(text: str) -> str:
    """Text that ends where it ends: these protocols end texts with a zero byte."""
    if "\0" in text:
        raise ValueError("must not contain a zero byte")
    return text


def statement(text: str) -> str:
    """A statement of SQL."""
    if not text.strip():
        raise ValueError("must not be empty")
    return no_zero(text)


def named(text: str | None) -> str | None:
    """A name, on one line and not blank."""
    if text is not None and not text.strip():
        raise ValueError("must not be empty")
    return one_line(text)


def needs_user(check: Any, *options: str) -> None:
    """ValueError if one of these options is set, but not `user`."""
    if check.user is not None:
        return
    usual = {field.name: field.default for field in fields(check)}
    for name in options:
        if getattr(check, name) != usual[name]:
            raise ValueError(f"{name} needs user")


def asks_for_rows(expect: str | None, allow_empty: bool) -> None:
    """ValueError if `expect` is no regular expression, or there is one although an empty result is fine, too."""
    text_regex(expect)
    if expect is not None and allow_empty:
        raise ValueError("expect and allow_empty exclude each other")


def judge(row: Sequence[str | None] | None, expect: str | None, allow_empty: bool) -> str:
    """What the first row says: its first value as text, shortened. None: there was no row; a row may have no columns.

    CheckFailed(UNEXPECTED) if there is no value although there should be one, or if `expect` does not match it. NULL
    is the text "NULL".
    """
    if not row:
        if allow_empty:
            return "no row"
        raise CheckFailed(Reason.UNEXPECTED, "the result has no row")
    value = "NULL" if row[0] is None else row[0]
    text = shown(value.encode(errors="replace"))
    if expect is not None and not text_pattern(expect).search(value):
        raise CheckFailed(Reason.UNEXPECTED, f"expect {expect!r} does not match: got {text!r}")
    return text


def words(message: bytes | str) -> str:
    """A server's own words on one line."""
    return shown(message.encode(errors="replace") if isinstance(message, str) else message, LONGEST)
