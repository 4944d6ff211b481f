"""What the options of several checks have in common: rules that say in an operator's words what is wrong with a value.

Every function takes the value of an option and returns it, or what it means, or raises ValueError with a text that
reads on after the option's name ("path: must begin with '/', got 'healthz'").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import AnyStr

from healthd.check import CheckFailed, Reason, shown

_NUMBER = re.compile(r"\d+")
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")
_FAMILY = re.compile(r"[0-9]xx", re.IGNORECASE)
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_HEX_MASK = re.compile(r"[0-9a-fA-FxX]*")


def regex(text: str | None) -> str | None:
    """A regular expression over bytes; the text itself if it compiles."""
    if text is not None:
        pattern(text)
    return text


def pattern(text: str) -> re.Pattern[bytes]:
    """A text compiled to match bytes, its letters as UTF-8."""
    return _compiled(text.encode())


def text_regex(text: str | None) -> str | None:
    """A regular expression over text; the text itself if it compiles."""
    if text is not None:
        text_pattern(text)
    return text


def text_pattern(text: str) -> re.Pattern[str]:
    """A text compiled to match text, for answers that are text already."""
    return _compiled(text)


def _compiled(source: AnyStr) -> re.Pattern[AnyStr]:
    shown = source if isinstance(source, str) else source.decode()
    try:
        return re.compile(source)
    except re.error as error:
        where = "" if error.pos is None else f" at position {error.pos}"
        raise ValueError(f"is not a regular expression: {error.msg}{where} in {shown!r}") from None
    except (OverflowError, RecursionError, ValueError) as error:
        raise ValueError(f"is not a usable regular expression: {error} in {shown!r}") from None


def hex_mask(text: str | None) -> str | None:
    """Bytes written in hex where X stands for any digit; the text itself if it is right."""
    if text is not None:
        mask_pattern(text)
    return text


def mask_pattern(text: str) -> tuple[re.Pattern[bytes], int]:
    """What `hex_mask` describes: a pattern for the beginning of an answer, and how many bytes it takes to match."""
    digits = _digits(text)
    if len(digits) % 2 or not _HEX_MASK.fullmatch(digits):
        raise ValueError(f"must be pairs of hex digits (0-9, a-f, X for any), got {text!r}")
    pairs = [digits[at : at + 2].lower() for at in range(0, len(digits), 2)]
    return re.compile(rb"\A" + b"".join(map(_pair_pattern, pairs)), re.DOTALL), len(pairs)


def _pair_pattern(pair: str) -> bytes:
    high, low = pair[0], pair[1]
    if pair == "xx":
        return b"."
    if high != "x" and low != "x":
        return re.escape(bytes.fromhex(pair))
    digits = "0123456789abcdef"
    pairs = (f"{high}{d}" if low == "x" else f"{d}{low}" for d in digits)
    return b"[" + b"".join(re.escape(bytes.fromhex(p)) for p in pairs) + b"]"


def _digits(text: str) -> str:
    return re.sub(r"[\s:]", "", text)


def numbers(texts: Iterable[str], low: int, high: int) -> frozenset[int]:
    """The numbers that texts such as "200", "200-299" and "2xx" stand for, each within low..high."""
    found: set[int] = set()
    for text in texts:
        first, last = _span(text.strip())
        if not low <= first <= last <= high:
            raise ValueError(f"{text!r} is not within {low}-{high}")
        found.update(range(first, last + 1))
    return frozenset(found)


def _span(text: str) -> tuple[int, int]:
    if _NUMBER.fullmatch(text):
        return int(text), int(text)
    if match := _RANGE.fullmatch(text):
        return int(match[1]), int(match[2])
    if _FAMILY.fullmatch(text):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    raise ValueError(f"{text!r} is neither a number nor a range such as 200-299 or 2xx")


def number_list(low: int, high: int, *, empty: bool = False) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """A rule for options that list numbers and ranges."""

    def rule(texts: tuple[str, ...]) -> tuple[str, ...]:
        if not texts and not empty:
            raise ValueError("must name at least one")
        numbers(texts, low, high)
        return texts

    return rule


def between(low: int, high: int) -> Callable[[int | None], int | None]:
    """A rule for a number within low..high; None is left alone."""

    def rule(value: int | None) -> int | None:
        if value is not None and not low <= value <= high:
            raise ValueError(f"must be {low} to {high}, got {value}")
        return value

    return rule


def one_line(text: str | None) -> str | None:
    """Text without control characters, for what goes into one line of a protocol."""
    if text is not None and any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError(f"must not contain control characters, got {text!r}")
    return text


def some_line_matches(wanted: re.Pattern[bytes], text: bytes | bytearray) -> bool:
    """Whether the pattern matches somewhere in one line of the text, its LF included and never beyond it."""
    return any(wanted.search(line) for line in _LINE.findall(text))


def without(secret: bytes, said: bytes) -> bytes:
    """What a server said, for a detail: it may repeat what it did not understand, and with it a password."""
    return said.replace(secret, b"***") if secret else said


def exclusive(check: object, *options: str) -> None:
    """ValueError if more than one of these options is set."""
    given = [name for name in options if getattr(check, name) is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other")


def want(found: bool, answer: bytes, **asked: str | None) -> None:
    """CheckFailed(UNEXPECTED) with the start of the answer, unless it was found. asked: the one option that is set."""
    if found:
        return
    name, value = next((name, value) for name, value in asked.items() if value is not None)
    got = repr(shown(answer)) if answer else "nothing"
    raise CheckFailed(Reason.UNEXPECTED, f"{name} {value!r} does not match: got {got}")
