"""A tree of our tables that grows key by key, each with the place in the .cf that it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from healthd.config.decode import At, Kind, Report, Told
from healthd.config.problems import Path, Span
from healthd.config.source import Source

_NOWHERE = At(Source("", "", {}))
LONGEST = 86_400
"""Seconds: the longest duration that our checks take."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that changes meaning. loud: also said when the file is loaded, not only when it is converted."""

    span: Span
    text: str
    loud: bool = True


@dataclass(slots=True)
class Tree:
    """tables: as tomli would give them. spans: where what stands at a path was said. refusals: what cannot be."""

    tables: dict[str, Any] = field(default_factory=dict)
    spans: dict[Path, Span] = field(default_factory=dict)
    notes: dict[Note, None] = field(default_factory=dict)
    refusals: dict[Note, None] = field(default_factory=dict)

    def note(self, span: Span, text: str, *, loud: bool = True) -> None:
        """Remember a change of meaning, once."""
        self.notes[Note(span, text, loud)] = None

    def refuse(self, span: Span, text: str) -> None:
        """Remember what cannot be, once."""
        self.refusals[Note(span, text)] = None


@dataclass(slots=True)
class Table:
    """One table of a tree. span: where its keys stand if they do not say it."""

    tree: Tree
    path: Path
    span: Span
    values: dict[str, Any]

    def put(self, name: str, value: Any, span: Span | None = None) -> None:
        """Set a key; None says nothing."""
        if value is not None:
            self.values[name] = value
            self.tree.spans[(*self.path, name)] = span or self.span

    def note(self, text: str, span: Span | None = None, *, loud: bool = True) -> None:
        """Remember a change of meaning."""
        self.tree.note(span or self.span, text, loud=loud)


def table(tree: Tree, path: Path, span: Span, values: dict[str, Any]) -> Table:
    """A table at a path."""
    tree.spans[path] = span
    return Table(tree, path, span, values)


def fits(kind: Kind[Any], value: object) -> bool:
    """Whether our tables would take a value."""
    try:
        kind.take(value, _NOWHERE, Report())
    except (ValueError, Told):
        return False
    return True


def seconds(text: str) -> str:
    """A duration of whole seconds as our tables have it."""
    return f"{int(text)}s"


def bounded(at: Table, name: str, text: str, span: Span | None) -> str:
    """A duration that is not longer than any of ours may be."""
    if int(text) > LONGEST:
        at.note(f"{name}: {int(text)} seconds become a day, the longest that healthd takes", span)
    return seconds(str(min(int(text), LONGEST)))
