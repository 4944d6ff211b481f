r"""Perl's regular expressions, as `receive` of an ldirectord.cf has them, as Python's.

ldirectord asks `$body =~ /$receive/` of the bytes that came. `translate` gives the text of a pattern for Python's `re`
that, compiled as bytes from its UTF-8 form and searched for, finds the same stretch of the same bytes. Where there is
no such pattern it says so; it never comes close instead. Tried against Perl 5.36.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from healthd.config.ldirectord import perl_sets
from healthd.config.ldirectord.perl_nodes import (
    Alternatives,
    Atomic,
    Capture,
    Condition,
    Fixed,
    Greed,
    Literal,
    Look,
    Node,
    OneOf,
    PatternRefused,
    Reference,
    Repeat,
    Sequence,
    atomic,
    children,
    walk,
)
from healthd.config.ldirectord.perl_syntax import read

__all__ = ["PatternRefused", "translate"]


def translate(text: str) -> str:
    """A Perl pattern as Python's `re` has it; PatternRefused, a ValueError, if there is none that means the same.

    A byte that was no UTF-8 where the text was read stands in it as "surrogateescape" puts it.
    """
    node = read(text)
    written = _Writer(_numbers(node)).whole(node)
    try:
        re.compile(written.encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternRefused(f"is a Perl regular expression that cannot be translated: Python has {error}", 0) from None
    return written


def _numbers(node: Node) -> Mapping[int, int]:
    """Each group that stays a group, with its number: all, but only those referred to where something is atomic.

    Python before 3.13 may lose its way among groups within what is atomic.
    """
    nodes = list(walk(node))
    used = {group for part in nodes for group in _referred(part)}
    risky = any(map(atomic, nodes))
    kept = sorted(part.number for part in nodes if isinstance(part, Capture) and (not risky or part.number in used))
    return {old: new for new, old in enumerate(kept, 1)}


def _referred(node: Node) -> tuple[int, ...]:
    match node:
        case Reference(groups):
            return groups
        case Condition(group):
            return (group,)
        case _:
            return ()


def _folds(node: Node) -> frozenset[bool]:
    """Whether the letters in a node fold: yes, no, both, or nothing if it is all the same."""
    match node:
        case Literal(byte, fold):
            return frozenset((fold,)) if byte < 128 and chr(byte).isalpha() else frozenset()
        case OneOf(members):
            return frozenset() if members == perl_sets.folded(members) else frozenset((False,))
        case Reference(_, fold):
            return frozenset((fold,))
        case _:
            return frozenset[bool]().union(*map(_folds, children(node)))


class _Writer:
    """Writes nodes; `fold` says all along whether (?i) holds where the text will stand."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Mapping[int, int]) -> None:
        self._numbers = numbers

    def whole(self, node: Node) -> str:
        fold = _folds(node) == {True}
        return ("(?i)" if fold else "") + self._written(node, fold)

    def _written(self, node: Node, fold: bool) -> str:
        if _folds(node) == {not fold}:
            return f"(?{'-i' if fold else 'i'}:{self._written(node, not fold)})"
        match node:
            case Literal(byte):
                return perl_sets.literal(byte)
            case OneOf(members, negated):
                return perl_sets.one_of(members, negated=negated)
            case Fixed(text):
                return text
            case Alternatives(branches):
                return "|".join(self._written(branch, fold) for branch in branches)
            case Sequence(items):
                return "".join(self._in_line(items, fold))
            case _:
                return self._group(node, fold)

    def _group(self, node: Node, fold: bool) -> str:
        match node:
            case Capture(number, body):
                return f"({'' if number in self._numbers else '?:'}{self._written(body, fold)})"
            case Atomic(body):
                return f"(?>{self._written(body, fold)})"
            case Look(body, behind, negated):
                return f"(?{'<' if behind else ''}{'!' if negated else '='}{self._written(body, fold)})"
            case Repeat():
                return self._repeat(node, fold)
            case Reference(groups):
                return self._what(groups)
            case Condition(number, yes, no):
                return f"(?({self._numbers[number]}){self._unit(yes, fold)}|{self._unit(no, fold)})"
            case _:
                raise AssertionError(node)

    def _what(self, groups: tuple[int, ...]) -> str:
        first, *others = (self._numbers[group] for group in groups)
        if not others:
            return f"\\{first}"
        return f"(?({first})\\{first}|{self._what(groups[1:])})"

    def _repeat(self, repeat: Repeat, fold: bool) -> str:
        times = _times(repeat.least, repeat.most)
        text = self._unit(repeat.item, fold) + times
        if repeat.greed is Greed.POSSESSIVE:
            return f"(?>{text})"
        return text + ("?" if repeat.greed is Greed.LAZY else "")

    def _unit(self, node: Node, fold: bool) -> str:
        """What a quantifier takes as a whole, and where a `|` is not seen from outside."""
        text = self._written(node, fold)
        zero_width = isinstance(node, Look) or (isinstance(node, Fixed) and node.most == 0)
        several = isinstance(node, Alternatives | Sequence | Repeat) and _folds(node) != {not fold}
        return f"(?:{text})" if zero_width or several else text

    def _in_line(self, items: tuple[Node, ...], fold: bool) -> Iterable[str]:
        """The items one after the other: literals as text, neighbours that fold in one group."""
        texts = [text for chunk in _chunks(items, fold) for text in self._chunk(chunk, fold)]
        ends = [isinstance(item, Reference) for item in items]
        return texts if not any(ends) else _kept_apart(texts)

    def _chunk(self, chunk: tuple[Node, ...], fold: bool) -> list[str]:
        if all(isinstance(item, Literal) for item in chunk) and _folds(Sequence(chunk)) != {not fold}:
            return [_text(bytes(item.byte for item in chunk if isinstance(item, Literal)))]
        if len(chunk) > 1:
            return [self._written(Sequence(chunk), fold)]
        text = self._written(chunk[0], fold)
        return [f"(?:{text})" if isinstance(chunk[0], Alternatives) and _folds(chunk[0]) != {not fold} else text]


def _chunks(items: tuple[Node, ...], fold: bool) -> Iterator[tuple[Node, ...]]:
    def kind(numbered: tuple[int, Node]) -> tuple[str, int]:
        at, item = numbered
        if _folds(item) == {not fold}:
            return "other case", 0
        return ("text", 0) if isinstance(item, Literal) else ("part", at)

    for _, group in groupby(enumerate(items), kind):
        yield tuple(item for _, item in group)


def _kept_apart(texts: list[str]) -> Iterator[str]:
    """The same, so that a digit after a reference does not become a part of its number."""
    for text, following in zip(texts, [*texts[1:], ""], strict=True):
        yield f"(?:{text})" if _REFERENCE.fullmatch(text) and following[:1].isdigit() else text


_REFERENCE = re.compile(r"\\[0-9]+")


def _times(least: int, most: int | None) -> str:
    for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
        if (least, most) == bounds:
            return sign
    return f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"


def _text(raw: bytes) -> str:
    """Literal bytes, those of a printable letter beyond ASCII as that letter."""
    return "".join(map(_letter, raw.decode("utf-8", "surrogateescape")))


def _letter(char: str) -> str:
    if len(raw := char.encode("utf-8", "surrogateescape")) > 1 and char.isprintable():
        return char
    return "".join(map(perl_sets.literal, raw))
