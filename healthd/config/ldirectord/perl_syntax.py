r"""Reads a Perl pattern as Perl 5.36 does when the pattern comes out of a variable: `$body =~ /$receive/`.

There \Q, \E, \U, \L and \l are plain letters, `$name` and `@name` are not replaced, and code is not run. Everything is
bytes: a letter beyond ASCII is the bytes of its UTF-8 form, one after the other, to a class and to a quantifier too.
"""

from __future__ import annotations

from healthd.config.ldirectord import perl_chars
from healthd.config.ldirectord import perl_tokens as tokens
from healthd.config.ldirectord.perl_cursor import Cursor, Flags
from healthd.config.ldirectord.perl_flags import read_flags
from healthd.config.ldirectord.perl_look import behind, empty_first, ends_open, width
from healthd.config.ldirectord.perl_nodes import (
    NEVER,
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
    Reference,
    Repeat,
    Sequence,
)
from healthd.config.ldirectord.perl_numbers import Groups
from healthd.config.ldirectord.perl_sets import ALL, VERTICAL, one_of

DEEPEST = 60
MOST_TIMES = 65534


def read(text: str) -> Node:
    """The parts of a Perl pattern; PatternRefused if Perl does not take it or Python can not say it."""
    try:
        return _Parser(Cursor(text), Flags()).whole()
    except perl_chars.UnicodeRules:
        return _Parser(Cursor(text), Flags(rules="u")).whole()


class _Parser:
    """Reads by recursive descent; flags hold until the end of the group in which they were set."""

    __slots__ = ("_cursor", "_default", "_depth", "_flags", "_groups")

    def __init__(self, cursor: Cursor, flags: Flags) -> None:
        self._cursor = cursor
        self._flags = self._default = flags
        self._groups = Groups()
        self._depth = 0

    def whole(self) -> Node:
        node = self._alternatives()
        if not self._cursor.done:
            raise self._cursor.wrong("')' without its '('")
        self._groups.check(self._cursor, node)
        return node

    # --- alternatives, sequences, repetitions ---

    def _alternatives(self) -> Node:
        return _joined(self._branches())

    def _branches(self) -> tuple[Node, ...]:
        groups = self._groups
        first, outside = groups.opened + 1, groups.foreign
        branches = [self._sequence()]
        while self._cursor.take_text("|"):
            groups.foreign = outside | frozenset(range(first, groups.opened + 1))
            branches.append(self._sequence())
        groups.foreign = outside
        return tuple(branches)

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._more():
            piece = self._piece()
            items.extend(piece.items if isinstance(piece, Sequence) else (piece,))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _more(self) -> bool:
        self._skip()
        return self._cursor.peek() not in ("", "|", ")")

    def _skip(self) -> None:
        start, cursor = -1, self._cursor
        while start != cursor.at:
            start = cursor.at
            comment = cursor.take(tokens.COMMENT)
            if comment and not comment[1]:
                raise cursor.wrong("a comment (?#..) without its end", start)
            if self._flags.spaced:
                cursor.take(tokens.SPACE)

    def _piece(self) -> Node:
        start = self._cursor.at
        atom = self._atom()
        return atom if atom is _NOTHING else self._repeated(atom, start)

    def _repeated(self, atom: Node, start: int) -> Node:
        self._skip()
        times = self._times()
        if times is None:
            return atom
        least, most = times
        if most is not None and least > most:
            return NEVER
        if width(atom)[1] == 0 and times != (0, 1):  # Perl 5.36 goes astray in some of these
            raise self._cursor.refuse("a quantifier on what has no length", start)
        self._skip()
        greed = self._greed()
        self._skip()
        at = self._cursor.at
        if self._times() is not None:
            raise self._cursor.wrong("a quantifier after a quantifier", at)
        if most != 1 and empty_first(atom):
            raise self._cursor.refuse("a repetition of what would rather be empty", start)
        return Repeat(atom, least, most, greed)

    def _times(self) -> tuple[int, int | None] | None:
        cursor = self._cursor
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if cursor.take_text(sign):
                return least, most
        start = cursor.at
        count = cursor.take(tokens.COUNT)
        if not count:
            return None
        low, comma, high, high_alone = count.groups()
        lowest = self._bounded(low or "0", start)
        if high or high_alone:
            return lowest, self._bounded(high or high_alone, start)
        return lowest, None if comma else lowest

    def _bounded(self, digits: str, start: int) -> int:
        if digits.startswith("0") and digits != "0":
            raise self._cursor.wrong("a quantifier with a leading zero", start)
        number = int(digits[:9])
        if number > MOST_TIMES or len(digits) > 9:
            raise self._cursor.wrong(f"a quantifier beyond {MOST_TIMES}", start)
        return number

    def _greed(self) -> Greed:
        if self._cursor.take_text("?"):
            return Greed.LAZY
        return Greed.POSSESSIVE if self._cursor.take_text("+") else Greed.GREEDY

    # --- atoms ---

    def _atom(self) -> Node:
        start = self._cursor.at
        match self._cursor.next():
            case "^":
                return Fixed(r"(?:\A|(?<=\n)(?!\Z))" if self._flags.lines else "^")
            case "$" if self._cursor.peek() == "\0":  # Perl 5.36 looks for it in the wrong place
                raise self._cursor.refuse("'$' before a zero byte", start)
            case "$":
                return Fixed("(?m:$)" if self._flags.lines else "$")
            case ".":
                return Fixed("(?s:.)" if self._flags.dotall else ".", 1, 1)
            case "[":
                return self._set(perl_chars.bracketed(self._cursor, self._flags, start), start)
            case "(":
                return self._group(start)
            case "\\":
                return self._escape(start)
            case "*" | "+" | "?" as sign:
                raise self._cursor.wrong(f"the quantifier {sign} with nothing before it", start)
            case "{" if tokens.AFTER_LETTER.search(self._cursor.text, max(0, start - 2), start):
                raise self._cursor.wrong("'{' after a backslash and a letter", start)
            case char:
                return self._literal(ord(char), start)

    def _literal(self, byte: int, start: int) -> Node:
        cased = chr(byte).isalpha()
        node = Literal(byte, fold=self._flags.fold and cased and byte < 128)
        return self._folding(node, start) if cased else node

    def _set(self, node: OneOf, start: int) -> Node:
        if len(node.members) == (256 if node.negated else 0):  # Perl 5.36 panics when such a one is repeated
            raise self._cursor.refuse("a set of characters with none in it", start)
        return self._folding(node, start)

    def _folding(self, node: Node, start: int) -> Node:
        if self._flags.fold and self._flags.rules != "d":
            raise self._cursor.refuse(r"(?i) together with (?a), (?u), \N{U+..} or \p{..}", start)
        return node

    def _escape(self, start: int) -> Node:
        cursor = self._cursor
        char = cursor.peek()
        if char in tokens.REFUSED_ESCAPES:
            raise cursor.refuse(tokens.REFUSED_ESCAPES[char], start)
        if char and char in perl_chars.SETS:
            return self._set(perl_chars.one_of(cursor, self._flags, start), start)
        if char and char in "123456789":
            return self._digits(start)
        if char == "N" and (
            cursor.text[cursor.at + 1 : cursor.at + 2] != "{" or tokens.COUNT.match(cursor.text, cursor.at + 1)
        ):
            cursor.at += 1
            return Fixed(".", 1, 1)
        if char and char in "AzZbBRgk":
            cursor.at += 1
            return self._reference(char, start) if char in "gk" else self._simple(char, start)
        return self._literal(perl_chars.character(cursor, self._flags, start), start)

    def _simple(self, char: str, start: int) -> Node:
        match char:
            case "A":
                return Fixed(r"\A")
            case "z":
                return Fixed(r"\Z")
            case "Z":
                return Fixed(r"(?=\n?\Z)")
            case "R":
                return Fixed(rf"(?>\r\n|{one_of(VERTICAL)})", 1, 2)
            case _:
                return self._boundary(char, start)

    def _boundary(self, char: str, start: int) -> Node:
        if self._cursor.peek() == "{":
            raise self._cursor.refuse(rf"a boundary of another kind, \{char}{{..}},", start)
        if self._flags.rules != "u":
            return Fixed(r"\b" if char == "b" else r"(?!\b)")
        word = one_of(perl_chars.named("word", self._flags) or ALL)
        inside, at_edge = (
            rf"(?<={word})(?={word})|(?<!{word})(?!{word})",
            rf"(?<={word})(?!{word})|(?<!{word})(?={word})",
        )
        return Fixed(f"(?:{at_edge if char == 'b' else inside})")

    def _digits(self, start: int) -> Node:
        found = self._cursor.sees(tokens.DIGITS)
        digits = found[0] if found else ""
        if len(digits) == 1 or digits[0] in "89" or (len(digits) < 6 and int(digits) <= self._groups.opened):
            self._cursor.at += len(digits)
            return self._refers(self._groups.numbered(self._cursor, int(digits[:6]), start), start)
        return self._literal(perl_chars.character(self._cursor, self._flags, start), start)

    def _reference(self, char: str, start: int) -> Node:
        cursor, groups = self._cursor, self._groups
        if char == "g" and (found := cursor.take(tokens.NUMBER_G)):
            number = int((found[2] or found[4])[:6])
            backwards = found[1] or found[3]
            return self._refers(
                groups.numbered(cursor, groups.opened + 1 - number if backwards else number, start), start
            )
        found = cursor.take(tokens.NAME_G if char == "g" else tokens.NAME_K)
        if not found:
            raise cursor.wrong(rf"\{char} without a group that it could mean", start)
        return self._refers(groups.named(cursor, next(filter(None, found.groups())), start), start)

    def _refers(self, groups: tuple[int, ...], start: int) -> Node:
        return self._folding(Reference(groups, self._flags.fold), start)

    # --- groups ---

    def _group(self, start: int) -> Node:
        if self._depth >= DEEPEST:
            raise self._cursor.refuse(f"a group within {DEEPEST} others", start)
        self._depth += 1
        node = self._grouped(start)
        self._depth -= 1
        return node

    def _grouped(self, start: int) -> Node:
        cursor = self._cursor
        if cursor.take_text("?"):
            return self._extended(start)
        if cursor.peek() != "*":
            return self._body(start) if self._flags.bare else self._capture(None, start)
        found = cursor.take(tokens.ALPHA_NAME)
        if not found:
            raise cursor.refuse("a verb (*..), which steers how Perl tries,", start)
        return self._assertion(tokens.ALPHA[found[1]], start)

    def _extended(self, start: int) -> Node:
        cursor = self._cursor
        for expression, sentence in tokens.REFUSED_GROUPS:
            if cursor.sees(expression):
                raise cursor.refuse(sentence, start)
        if found := cursor.take(tokens.LOOK):
            return self._assertion(found[0], start)
        if found := cursor.take(tokens.GROUP_NAME):
            return self._capture(found[1] or found[2], start)
        if found := cursor.take(tokens.OLD_REFERENCE):
            return self._refers(self._groups.named(cursor, found[1], start), start)
        if cursor.take_text(">"):
            return self._assertion(">", start)
        return self._condition(start) if cursor.take_text("(") else self._flagged(start)

    def _flagged(self, start: int) -> Node:
        before = self._flags
        flags = read_flags(self._cursor, before, self._default, start)
        self._flags = flags
        if self._cursor.next() == ")":
            return _NOTHING
        node = self._body(start)
        self._flags = before
        return node

    def _capture(self, name: str | None, start: int) -> Node:
        number = self._groups.open(self._cursor, name, start)
        body = self._body(start)
        self._groups.close(number)
        return Capture(number, body)

    def _assertion(self, sign: str, start: int) -> Node:
        body = self._body(start)
        if sign == ">":
            return Atomic(body)
        if sign.startswith("<"):
            return behind(self._cursor, body, negated=sign == "<!", start=start)
        if ends_open(body):  # Perl 5.36 then looks for a match only where the repeated begins
            raise self._cursor.refuse("a look ahead for what may be nothing", start)
        return Look(body, behind=False, negated=sign == "!")

    def _body(self, start: int) -> Node:
        return _joined(self._bodies(start))

    def _bodies(self, start: int) -> tuple[Node, ...]:
        flags = self._flags
        branches = self._branches()
        if not self._cursor.take_text(")"):
            raise self._cursor.wrong("'(' without its ')'", start)
        self._flags = flags
        return branches

    def _condition(self, start: int) -> Node:
        cursor = self._cursor
        found = cursor.take(tokens.CONDITION)
        if not found:
            return self._asserted(start)
        groups = (
            self._groups.numbered(cursor, int(found[1][:6]), start)
            if found[1]
            else self._groups.named(cursor, found[2] or found[3], start)
        )
        if len(groups) > 1:
            raise cursor.refuse("a condition (?(..)..) on one of several groups of the same name", start)
        return Condition(groups[0], *self._two(start))

    def _asserted(self, start: int) -> Node:
        cursor, opened = self._cursor, self._groups.opened
        cursor.take_text("?")
        sign = cursor.take(tokens.LOOK)
        if not sign:
            raise cursor.refuse("a condition (?(..)..) that asks for neither a group nor what stands around", start)
        look = self._assertion(sign[0], start)
        if not isinstance(look, Look) or self._groups.opened != opened:
            raise cursor.refuse(
                "a condition (?(..)..) with groups or with branches of different lengths in what it asks for", start
            )
        yes, no = self._two(start)
        opposite = Look(look.body, look.behind, negated=not look.negated)
        return Alternatives((Sequence((look, yes)), Sequence((opposite, no))))

    def _two(self, start: int) -> tuple[Node, Node]:
        branches = self._bodies(start)
        if len(branches) > 2:
            raise self._cursor.wrong("a condition (?(..)..) with more than two branches", start)
        return branches[0], branches[1] if len(branches) == 2 else _NOTHING


_NOTHING = Sequence(())


def _joined(branches: tuple[Node, ...]) -> Node:
    return branches[0] if len(branches) == 1 else Alternatives(branches)
