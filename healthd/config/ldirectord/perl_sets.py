r"""The sets of bytes that Perl's \w, [:alpha:] and \p{L} stand for, and how Python writes a set of bytes.

Perl matches what a server answers as bytes. By its usual rules only ASCII bytes are letters, digits or blanks (\h, \v
and \R know 0x85 and 0xA0 all the same); by its Unicode rules, which (?u) and every \p{..} turn on, each byte is the
character of Latin-1 with that number. See perlre, "Character set modifiers", and perlrecharclass.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from types import MappingProxyType

Bytes = frozenset[int]

ALL: Bytes = frozenset(range(256))
ASCII: Bytes = frozenset(range(128))


def _of(text: str) -> Bytes:
    return frozenset(map(ord, text))


def _category(*prefixes: str) -> Bytes:
    return frozenset(byte for byte in ALL if unicodedata.category(chr(byte)).startswith(prefixes))


HORIZONTAL: Bytes = _of("\t \xa0")
VERTICAL: Bytes = _of("\n\x0b\f\r\x85")
_ORDINALS: Bytes = _of("\xaa\xba")  # letters by category, lower case by property

_LATIN = MappingProxyType(
    {
        "alpha": _category("L"),
        "alnum": _category("L", "Nd"),
        "ascii": ASCII,
        "blank": HORIZONTAL,
        "cntrl": _category("Cc"),
        "digit": _category("Nd"),
        "graph": ALL - _category("Cc", "Z"),
        "lower": _category("Ll") | _ORDINALS,
        "print": ALL - _category("Cc"),
        "punct": _category("P") | _of(string.punctuation),
        "space": _of(string.whitespace) | VERTICAL | HORIZONTAL,
        "upper": _category("Lu"),
        "word": _category("L", "Nd", "Pc"),
        "xdigit": _of(string.hexdigits),
    }
)

_CATEGORIES = MappingProxyType(
    {
        "letter": "L",
        "casedletter": "LC",
        "uppercaseletter": "Lu",
        "lowercaseletter": "Ll",
        "mark": "M",
        "number": "N",
        "decimalnumber": "Nd",
        "othernumber": "No",
        "punctuation": "P",
        "symbol": "S",
        "mathsymbol": "Sm",
        "currencysymbol": "Sc",
        "separator": "Z",
        "spaceseparator": "Zs",
        "control": "Cc",
    }
)
_TWO_LETTERS = frozenset(
    [
        "L",
        "LC",
        "Lu",
        "Ll",
        "Lt",
        "Lm",
        "Lo",
        "M",
        "Mn",
        "Mc",
        "Me",
        "N",
        "Nd",
        "Nl",
        "No",
        "P",
        "Pc",
        "Pd",
        "Ps",
        "Pe",
        "Pi",
        "Pf",
        "Po",
        "S",
        "Sm",
        "Sc",
        "Sk",
        "So",
        "Z",
        "Zs",
        "Zl",
        "Zp",
        "Cc",
        "Cf",
    ]
)
_ALIASES = MappingProxyType(
    {"alphabetic": "alpha", "uppercase": "upper", "lowercase": "lower", "whitespace": "space", "hexdigit": "xdigit"}
)


def posix(name: str, *, unicode: bool) -> Bytes | None:
    """The bytes of [:name:]; None if there is no such class."""
    found = _LATIN.get(name)
    return found if found is None or unicode else found & ASCII


def unicode_property(name: str) -> Bytes | None:
    r"""The bytes of \p{name}, each taken as a character of Latin-1; None if it is none of those that we know.

    Known are the general categories, the POSIX classes in both widths, Any and ASCII. Case and inner spaces, hyphens
    and underscores do not matter.
    """
    if not name or not (name[0] + name[-1]).isalnum():
        return None
    plain = name.lower().translate({ord(letter): None for letter in " -_"}).removeprefix("is")
    if plain == "any":
        return ALL
    if plain.startswith("posix"):
        return posix(plain.removeprefix("posix"), unicode=False)
    general = _CATEGORIES.get(plain, plain.capitalize() if plain != "lc" else "LC")
    if general in _TWO_LETTERS:
        return _category("Lu", "Ll", "Lt") if general == "LC" else _category(general)
    if plain == "punct":
        return _category("P")
    plain = plain.removeprefix("xposix")
    return posix(_ALIASES.get(plain, plain), unicode=True)


def folded(members: Bytes) -> Bytes:
    """The same with the other case of every ASCII letter."""
    letters = bytes(sorted(members))
    return members | frozenset(letters.lower()) | frozenset(letters.upper())


# --- writing ----------------------------------------------------------------------------------------------------

_SPECIAL = frozenset(rb"\.^$*+?{}[]|()")
_SPECIAL_IN_SET = frozenset(rb"\^[]-&~|")  # Python warns of the last three when they are doubled
_NAMED = MappingProxyType(
    {ord(char): name for char, name in zip("\n\r\t\f\v\a", ("\\" + c for c in "nrtfva"), strict=True)}
)


def literal(byte: int) -> str:
    """One byte in a Python pattern."""
    return _written(byte, _SPECIAL)


def one_of(members: Bytes, *, negated: bool = False) -> str:
    r"""A set of bytes in a Python pattern, as short as it can be said: `\d`, `[^a-z]`. Some byte is in it."""
    if negated and members in _BACKSLASHED:
        return _BACKSLASHED[members].upper()
    if not negated and members in _BACKSLASHED:
        return _BACKSLASHED[members]
    if members == ALL or not members:
        return r"[\x00-\xff]"
    if len(members) > 128:
        return one_of(ALL - members, negated=not negated)
    return f"[{'^' if negated else ''}{_inside(members)}]"


_BACKSLASHED = MappingProxyType(
    {
        _LATIN["word"] & ASCII: r"\w",
        _LATIN["digit"]: r"\d",
        _LATIN["space"] & ASCII: r"\s",
    }
)


def _inside(members: Bytes) -> str:
    for named, text in _BACKSLASHED.items():
        if named <= members:
            return text + _inside(members - named)
    return "".join(_range(first, last) for first, last in _runs(members))


def _range(first: int, last: int) -> str:
    if last - first < 2:
        return "".join(_written(byte, _SPECIAL_IN_SET) for byte in range(first, last + 1))
    return f"{_written(first, _SPECIAL_IN_SET)}-{_written(last, _SPECIAL_IN_SET)}"


def _runs(members: Bytes) -> Iterable[tuple[int, int]]:
    ordered = sorted(members)
    if not ordered:
        return ()
    breaks = [at for at, (here, there) in enumerate(pairwise(ordered), 1) if there != here + 1]
    return ((ordered[start], ordered[end - 1]) for start, end in pairwise([0, *breaks, len(ordered)]))


def _written(byte: int, special: frozenset[int]) -> str:
    if byte in _NAMED:
        return _NAMED[byte]
    if not 0x20 <= byte < 0x7F:
        return f"\\x{byte:02x}"
    return f"\\{chr(byte)}" if byte in special else chr(byte)
