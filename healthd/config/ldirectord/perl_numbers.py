"""The groups of a Perl pattern so far: how many, their names, and which of them are complete."""

from __future__ import annotations

from collections.abc import Iterator

from healthd.config.ldirectord.perl_cursor import Cursor
from healthd.config.ldirectord.perl_nodes import Capture, Node, Repeat, children


class Groups:
    """Counts groups as they open and close, and finds those that a reference means.

    `foreign` are those that stand in another branch than what is being read.
    """

    __slots__ = ("_closed", "_names", "_referred", "_used", "foreign", "opened")

    def __init__(self) -> None:
        self.opened = 0
        self._closed: set[int] = set()
        self._names: dict[str, list[int]] = {}
        self._referred: set[str] = set()
        self._used: dict[int, int] = {}
        self.foreign: frozenset[int] = frozenset()

    def open(self, cursor: Cursor, name: str | None, start: int) -> int:
        """The number of a group that begins here."""
        self.opened += 1
        if name is not None:
            if name in self._referred:
                raise cursor.refuse(f"a second group '{name}' after a reference to the first", start)
            self._names.setdefault(name, []).append(self.opened)
        return self.opened

    def close(self, number: int) -> None:
        """The group is complete."""
        self._closed.add(number)

    def numbered(self, cursor: Cursor, number: int, start: int) -> tuple[int, ...]:
        """The group of a number, which must be complete: Python has no references forward or into an open group."""
        if not 1 <= number <= self.opened:
            raise cursor.refuse(f"a reference to group {number}, which does not stand before it,", start)
        if number not in self._closed:
            raise cursor.refuse(f"a reference to group {number} from within it", start)
        if number in self.foreign:  # what it holds after its branch failed, Perl and Python see differently
            raise cursor.refuse(f"a reference to group {number} from another branch", start)
        self._used.setdefault(number, start)
        return (number,)

    def named(self, cursor: Cursor, name: str, start: int) -> tuple[int, ...]:
        """All groups of a name, which must be complete."""
        if name not in self._names:
            raise cursor.refuse(f"a reference to group '{name}', which does not stand before it,", start)
        self._referred.add(name)
        return tuple(self.numbered(cursor, number, start)[0] for number in self._names[name])

    def check(self, cursor: Cursor, whole: Node) -> None:
        """Refuses what can be known at the end only: a reference to a group that is repeated within what is repeated.

        What such a group holds when it is asked for is not quite the same to Perl and to Python.
        """
        for number in _looped(whole, 0):
            if number in self._used:
                raise cursor.refuse(
                    f"a reference to group {number}, which stands in two repetitions,", self._used[number]
                )


def _looped(node: Node, loops: int) -> Iterator[int]:
    """The groups that stand in two repetitions."""
    if isinstance(node, Capture) and loops > 1:
        yield node.number
    for child in children(node):
        yield from _looped(child, loops + isinstance(node, Repeat))
