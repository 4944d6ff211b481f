"""Reads inline flags of a Perl pattern: what stands between `(?` and `:` or `)`. The rules are those of perlre."""

from __future__ import annotations

from dataclasses import replace

from healthd.config.ldirectord.perl_cursor import Cursor, Flags

_RULES = "adlu"
_WITHOUT_EFFECT = "gcop"


def read_flags(cursor: Cursor, now: Flags, default: Flags, start: int) -> Flags:
    """The flags that hold from here on; the cursor is behind `(?` and then before the `:` or `)`."""
    flags = default if cursor.take_text("^") else now
    rules, on, caret = "", True, flags is default and cursor.text[cursor.at - 1] == "^"
    while (char := cursor.peek()) not in ":)":
        if char == "-" and on and not caret:
            on = False
        elif char and char in _RULES and on:
            rules += char
        else:
            flags = _switched(cursor, flags, char, on, start)
        cursor.at += 1
    return replace(flags, rules=_rules(cursor, rules, default, start)) if rules else flags


def _switched(cursor: Cursor, flags: Flags, char: str, on: bool, start: int) -> Flags:
    match char:
        case "i":
            return replace(flags, fold=on)
        case "m":
            return replace(flags, lines=on)
        case "s":
            return replace(flags, dotall=on)
        case "n":
            return replace(flags, bare=on)
        case "x":
            again = on and cursor.text[cursor.at - 1] == "x"
            return replace(flags, spaced=0 if not on else 2 if again else 1)
        case _ if char and char in _WITHOUT_EFFECT:
            return flags
        case _:
            raise cursor.wrong(
                f"the group or flag (?{char.encode('ascii', 'replace').decode()}, which Perl does not know,", start
            )


def _rules(cursor: Cursor, rules: str, default: Flags, start: int) -> str:
    if rules == "l":
        raise cursor.refuse("(?l), the rules of a locale,", start)
    if rules not in ("a", "aa", "u", "d"):
        raise cursor.wrong(f"the flags {rules}, of which only one goes,", start)
    return default.rules if rules == "d" else rules[0]
