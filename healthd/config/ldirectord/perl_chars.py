r"""Reads what stands for one byte in a Perl pattern: escapes such as \x41 and \cA, sets such as \w, \p{L} and [a-z].

The rules are those of perlrebackslash and perlrecharclass, tried on Perl 5.36.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from healthd.config.ldirectord import perl_sets
from healthd.config.ldirectord.perl_cursor import Cursor, Flags
from healthd.config.ldirectord.perl_nodes import OneOf
from healthd.config.ldirectord.perl_sets import ALL, Bytes

_CONTROLS = MappingProxyType({"a": 7, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9})
_HEX = re.compile(r"\{[ \t]*((?:[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)?)[ \t]*\}|(?!\{)([0-9a-fA-F]{0,2})")
_OCTAL_BRACES = re.compile(r"\{[ \t]*([0-7]+(?:_[0-7]+)*)[ \t]*\}")
_OCTAL = re.compile(r"[0-7]{1,3}")
_CODE_POINT = re.compile(r"\{U\+([0-9a-fA-F]+)\}")
_PROPERTY = re.compile(r"\{[ \t]*(\^?)[ \t]*([ -z|~]*?)[ \t]*\}|()([A-Za-z])")
_POSIX = re.compile(r":(\^?)([^\[\]]*):\]")
_RESERVED = re.compile(r"([.=])[^\]]*\1\]")
_NAMED = MappingProxyType({"d": "digit", "w": "word", "s": "space"})
SETS = frozenset("dDwWsShHvVpP")


def character(cursor: Cursor, flags: Flags, start: int) -> int:
    r"""The byte that an escape stands for; the cursor is behind its backslash, which is at `start`."""
    char = cursor.next()
    if char in _CONTROLS:
        return _CONTROLS[char]
    match char:
        case "":
            raise cursor.wrong("a backslash with nothing after it", start)
        case "x":
            return _numbered(cursor, _HEX, 16, start)
        case "o":
            return _numbered(cursor, _OCTAL_BRACES, 8, start)
        case "c":
            return _control(cursor, start)
        case "N":
            return _code_point(cursor, flags, start)
        case "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7":
            cursor.at -= 1
            return _numbered(cursor, _OCTAL, 8, start)
        case _:
            return ord(char)


def _numbered(cursor: Cursor, expression: re.Pattern[str], base: int, start: int) -> int:
    found = cursor.take(expression)
    if not found:
        raise cursor.refuse("a character's number that is not complete", start)
    digits = next((group for group in found.groups() if group), "") if found.re.groups else found[0]
    return _byte(cursor, int(digits.replace("_", "") or "0", base), start)


def _byte(cursor: Cursor, number: int, start: int) -> int:
    if number > 255:
        raise cursor.refuse(
            "a character above 255, which ldirectord never finds in an answer (it compares bytes; "
            "write the character itself)",
            start,
        )
    return number


def _control(cursor: Cursor, start: int) -> int:
    char = cursor.next()
    if not " " <= char <= "~" or char == "{":
        raise cursor.wrong(r"\c without a character that it could go with", start)
    return ord(char.upper()) ^ 64


def _code_point(cursor: Cursor, flags: Flags, start: int) -> int:
    found = cursor.take(_CODE_POINT)
    if not found:
        raise cursor.refuse(r"\N{..} with a name", start)
    _needs_unicode(cursor, flags, start)
    return _byte(cursor, int(found[1], 16), start)


def _needs_unicode(cursor: Cursor, flags: Flags, start: int) -> None:
    if flags.rules == "d":
        raise UnicodeRules(start)


class UnicodeRules(Exception):
    r"""The pattern has a \p{..} or \N{U+..}, which to Perl means that all of it goes by Unicode rules."""


def one_of(cursor: Cursor, flags: Flags, start: int) -> OneOf:
    r"""The set that \w, \D, \p{..} and the like stand for; the cursor is behind the backslash."""
    letter = cursor.next()
    members = _members(cursor, flags, letter.lower(), start)
    return OneOf(members, negated=letter.isupper())


def _members(cursor: Cursor, flags: Flags, letter: str, start: int) -> Bytes:
    if letter == "h":
        return perl_sets.HORIZONTAL
    if letter == "v":
        return perl_sets.VERTICAL
    if letter == "p":
        return _property(cursor, flags, start)
    return named(_NAMED[letter], flags) or ALL


def named(name: str, flags: Flags) -> Bytes | None:
    """The bytes of [:name:] under these flags; None if there is no such class."""
    return perl_sets.posix(name, unicode=flags.rules == "u")


def _property(cursor: Cursor, flags: Flags, start: int) -> Bytes:
    found = cursor.take(_PROPERTY)
    name = found and (found[2] or found[4])
    members = perl_sets.unicode_property(name) if name else None
    if found is None or members is None:
        raise cursor.refuse(
            f"the Unicode property {cursor.text[start : cursor.at]}, which is not among those known here", start
        )
    _needs_unicode(cursor, flags, start)
    return ALL - members if found[1] else members


# --- sets in brackets -------------------------------------------------------------------------------------------


def bracketed(cursor: Cursor, flags: Flags, start: int) -> OneOf:
    """The set of bytes in brackets; the cursor is behind the opening one, which is at `start`."""
    negated = cursor.take_text("^")
    members: set[int] = set()
    first = True
    while first or not _closed(cursor, flags):
        _blanks(cursor, flags)
        if cursor.done:
            raise cursor.wrong("'[' without its ']'", start)
        members |= _item(cursor, flags)
        first = False
    whole = frozenset(members)
    return OneOf(perl_sets.folded(whole) if flags.fold else whole, negated=negated)


def _closed(cursor: Cursor, flags: Flags) -> bool:
    _blanks(cursor, flags)
    return cursor.take_text("]")


_BLANKS = re.compile(r"[ \t]*")
_DASH = re.compile(r"-(?!\])")
_DASH_SPACED = re.compile(r"-(?![ \t]*\])")


def _blanks(cursor: Cursor, flags: Flags) -> None:
    if flags.spaced > 1:
        cursor.take(_BLANKS)


def _item(cursor: Cursor, flags: Flags) -> Bytes:
    start = cursor.at
    first = _single(cursor, flags)
    _blanks(cursor, flags)
    if cursor.done or not cursor.take(_DASH_SPACED if flags.spaced > 1 else _DASH):
        return first if isinstance(first, frozenset) else frozenset((first,))
    if isinstance(first, frozenset):
        return first | {ord("-")}
    _blanks(cursor, flags)
    return _span(cursor, first, _single(cursor, flags), start)


def _span(cursor: Cursor, first: int, last: int | Bytes, start: int) -> Bytes:
    if isinstance(last, frozenset):
        return last | {first, ord("-")}
    if last < first:
        raise cursor.wrong("a range in brackets that runs backwards", start)
    return frozenset(range(first, last + 1))


def _single(cursor: Cursor, flags: Flags) -> int | Bytes:
    start = cursor.at
    char = cursor.next()
    if char == "[":
        members = _posix_class(cursor, flags, start)
        return ord(char) if members is None else members
    if char != "\\":
        if not char:
            raise cursor.wrong("a range in brackets without an end", start)
        return ord(char)
    if cursor.peek() in SETS and not cursor.done:
        found = one_of(cursor, flags, start)
        return ALL - found.members if found.negated else found.members
    return 8 if cursor.take_text("b") else character(cursor, flags, start)


def _posix_class(cursor: Cursor, flags: Flags, start: int) -> Bytes | None:
    if cursor.sees(_RESERVED):
        raise cursor.wrong("[.x.] and [=x=], which Perl keeps for later,", start)
    found = cursor.take(_POSIX)
    if not found:
        return None
    members = named(found[2], flags)
    if members is None:
        name = found[0].encode("ascii", "replace").decode()
        raise cursor.refuse(f"the unknown class [{name}", start)
    whole = perl_sets.folded(members) if flags.fold else members
    return ALL - whole if found[1] else whole
