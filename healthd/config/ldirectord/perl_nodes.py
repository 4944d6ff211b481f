"""What a Perl pattern consists of once it is read. `perl_syntax` makes it, `perl_regex` writes it.

Flags are gone here: each part says itself whether it folds letters, and spaces and comments of (?x) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class PatternRefused(ValueError):
    """A Perl pattern that is wrong or has no faithful translation; the text says what and where.

    It reads on after the name of the option ("receive is not a regular expression of Perl's: ... at position 3").
    `position` is where the construct begins, counted in characters from 0.
    """

    def __init__(self, sentence: str, position: int) -> None:
        super().__init__(f"{sentence} at position {position}")
        self.position = position


class Greed(Enum):
    """How a repetition takes: as much as it can, as little as it can, or as much as it can for good."""

    GREEDY = ""
    LAZY = "?"
    POSSESSIVE = "+"


@dataclass(frozen=True, slots=True)
class Literal:
    """One byte; `fold` if it is a letter of which the other case is as good."""

    byte: int
    fold: bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """One byte of `members`, or one that is not; the other case of letters is among them where it counts."""

    members: frozenset[int]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Fixed:
    """Something without parts that Python writes as `text`, `least` to `most` bytes long."""

    text: str
    least: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class Reference:
    """What the first of these groups that has matched took."""

    groups: tuple[int, ...]
    fold: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """The first that leads to a match."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Capture:
    """A group with a number."""

    number: int
    body: Node


@dataclass(frozen=True, slots=True)
class Atomic:
    """What never gives back what it took."""

    body: Node


@dataclass(frozen=True, slots=True)
class Look:
    """What must, or must not, stand after or before here."""

    body: Node
    behind: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """`item` `least` to `most` times; None is without end."""

    item: Node
    least: int
    most: int | None
    greed: Greed


@dataclass(frozen=True, slots=True)
class Condition:
    """`yes` if a group has matched, else `no`."""

    group: int
    yes: Node
    no: Node


Node = Literal | OneOf | Fixed | Reference | Sequence | Alternatives | Capture | Atomic | Look | Repeat | Condition

NEVER = Fixed("(?!)")


def children(node: Node) -> tuple[Node, ...]:
    """The parts of a node."""
    match node:
        case Sequence(items):
            return items
        case Alternatives(branches):
            return branches
        case Capture(_, body) | Atomic(body) | Look(body):
            return (body,)
        case Repeat(item):
            return (item,)
        case Condition(_, yes, no):
            return (yes, no)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """A node and all its parts, in the order in which they stand."""
    yield node
    for child in children(node):
        yield from walk(child)


def atomic(node: Node) -> bool:
    """True for what gives nothing back: an atomic group, a possessive repetition."""
    return isinstance(node, Atomic) or (isinstance(node, Repeat) and node.greed is Greed.POSSESSIVE)
