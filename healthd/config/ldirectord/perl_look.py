"""How long a match may be. To look behind, Perl takes what is up to 255 bytes long, Python what has one length only."""

from __future__ import annotations

from healthd.config.ldirectord.perl_cursor import Cursor
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
    Reference,
    Repeat,
    Sequence,
    atomic,
    children,
    walk,
)

FARTHEST = 255
_ENDLESS = 1 << 60


def behind(cursor: Cursor, body: Node, *, negated: bool, start: int) -> Node:
    """A look behind for `body`; for branches of different lengths one look for each of them."""
    branches = body.branches if isinstance(body, Alternatives) else (body,)
    for branch in branches:
        _check(cursor, branch, start)
    looks = tuple(Look(branch, behind=True, negated=negated) for branch in branches)
    if len({width(branch) for branch in branches}) == 1:
        return Look(body, behind=True, negated=negated)
    return Sequence(looks) if negated else Alternatives(looks)


def _check(cursor: Cursor, branch: Node, start: int) -> None:
    least, most = width(branch)
    if most > FARTHEST:
        raise cursor.wrong(f"a look behind of more than {FARTHEST} bytes", start)
    if least != most:
        raise cursor.refuse("a look behind for something of no certain length", start)
    parts = list(walk(branch))
    if any(isinstance(part, Reference | Condition) for part in parts):
        raise cursor.refuse("a look behind for what a group took", start)
    if any(map(atomic, parts)):  # of no length, Perl 5.36 never finds it
        raise cursor.refuse("a look behind for something atomic", start)


def width(node: Node) -> tuple[int, int]:
    """How many bytes a node takes, at least and at most."""
    match node:
        case Literal() | OneOf():
            return 1, 1
        case Fixed(_, least, most):
            return least, most
        case Reference():
            return 0, _ENDLESS
        case Look():
            return 0, 0
        case Repeat(item, least, most):
            shortest, longest = width(item)
            return shortest * least, min(_ENDLESS, longest * (_ENDLESS if most is None else most))
        case Alternatives(branches):
            widths = [width(branch) for branch in branches]
            return min(short for short, _ in widths), max(long for _, long in widths)
        case Condition(_, yes, no):
            return width(Alternatives((yes, no)))
        case Sequence() | Capture() | Atomic():
            widths = [width(part) for part in children(node)]
            return sum(short for short, _ in widths), min(_ENDLESS, sum(long for _, long in widths))


def empty_first(node: Node) -> bool:
    """True for what may be empty and tries that first; repeated, Perl and Python differ in it."""
    if width(node)[0]:
        return False
    match node:
        case Repeat(item, least, _, greed):
            return (greed is Greed.LAZY and not least) or empty_first(item)
        case Alternatives(branches):
            return any(not width(branch)[0] for branch in branches[:-1]) or empty_first(branches[-1])
        case _:
            return any(map(empty_first, children(node)))


def ends_open(node: Node) -> bool:
    """True for what may be empty and has a repetition at its end."""
    if width(node)[0]:
        return False
    match node:
        case Sequence(items):
            return bool(items) and ends_open(items[-1])
        case Repeat():
            return True
        case _:
            return any(map(ends_open, children(node)))
