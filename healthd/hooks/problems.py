"""What goes wrong and is over again, as those see it who keep a list of problems. Pure.

An event begins a problem, ends some, or is neither. A receiver that was told of a problem is told of its end, and no
other: `Problems` remembers which, and lives through a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from healthd.events import PROBLEMS, RECOVERIES, Event, Kind

ENDLESS = frozenset(PROBLEMS) - frozenset(RECOVERIES.values())
"""Problems of which no event tells the end."""
ENDS = {kind: recovery for recovery, kind in reversed(tuple(RECOVERIES.items()))}
"""What usually ends a problem."""
SEVERITIES: Mapping[Kind, str] = {
    Kind.SERVICE_DOWN: "critical",
    Kind.TABLE_LOST: "critical",
    Kind.RELOAD_FAILED: "error",
    Kind.ROW_REFUSED: "error",
    Kind.PROBER_LOST: "error",
}
"""All others are warnings."""


@dataclass(frozen=True, slots=True)
class Item:
    """An event on its way to a receiver. number: grows with time. group: the message that told of it, if one did."""

    number: int
    event: Event
    group: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong. kind: of the event that begins it."""

    kind: Kind
    service: str
    virtual: str
    real: str

    def __str__(self) -> str:
        """Text for programs: server-down/www/192.0.2.80:80/tcp/10.0.0.11:80."""
        return "/".join(filter(None, (self.kind.value, self.service, self.virtual, self.real)))


def severity(kind: Kind) -> str:
    """How bad a problem is: critical, error or warning."""
    return SEVERITIES.get(kind, "warning")


def begun(event: Event) -> Problem | None:
    """The problem that an event begins; None if it begins none."""
    return Problem(event.kind, event.service, event.virtual, event.real) if event.kind in PROBLEMS else None


def ended(event: Event) -> Problem | None:
    """The problem that an event ends, if there was one; None if it ends none."""
    what = RECOVERIES.get(event.kind)
    return None if what is None else Problem(what, event.service, event.virtual, event.real)


def ends(event: Event, problem: Problem) -> bool:
    """Whether an event ends a problem. A service that goes takes all problems with it that are of it."""
    if event.kind is Kind.SERVICE_REMOVED:
        return (problem.service, problem.virtual) == (event.service, event.virtual)
    return ended(event) == problem


class Problems:
    """Problems that a receiver was told of and that go on, oldest first."""

    def __init__(self) -> None:
        self._told: dict[Problem, Item] = {}

    def __iter__(self) -> Iterator[Item]:
        """Each as the event that began it."""
        return iter(self._told.values())

    def __len__(self) -> int:
        return len(self._told)

    def restore(self, item: Item) -> None:
        """Know of a problem that was told before a restart."""
        problem = begun(item.event)
        if problem is not None:
            self._told[problem] = item

    def news(self, items: Sequence[Item]) -> list[Item]:
        """Those worth telling: what begins a problem, and what ends one that was told or that began just before.

        A service that goes is always told.
        """
        found: list[Item] = []
        begun_here: set[Problem] = set()
        for item in items:
            problem = begun(item.event)
            if problem is not None:
                begun_here.add(problem)
            here = ended(item.event) in begun_here or item.event.kind is Kind.SERVICE_REMOVED
            if problem is not None or here or self._ends(item.event):
                found.append(item)
        return found

    def ends(self, events: Iterable[Event]) -> dict[Item, Event]:
        """Of the problems that were told, those that are over with these events, each with the one that ends it."""
        return {item: event for event in events for item in self._ends(event)}

    def tell(self, items: Sequence[Item], group: str) -> tuple[list[Item], list[Item]]:
        """A message told of these. Returns what is to be remembered from now on, and what is to be forgotten."""
        forgotten: list[Item] = []
        numbers = {item.number for item in items}
        for item in items:
            forgotten += [self._told.pop(_problem(over)) for over in self._ends(item.event)]
            problem = begun(item.event)
            if problem is None or problem.kind in ENDLESS:
                forgotten.append(item)
            else:
                before = self._told.pop(problem, None)
                forgotten += [before] if before else []
                self._told[problem] = replace(item, group=before.group if before else group)
        return [item for item in self if item.number in numbers], forgotten

    def _ends(self, event: Event) -> list[Item]:
        if event.kind is Kind.SERVICE_REMOVED:
            return [item for problem, item in self._told.items() if ends(event, problem)]
        problem = ended(event)
        return [self._told[problem]] if problem in self._told else []


def _problem(item: Item) -> Problem:
    return Problem(item.event.kind, item.event.service, item.event.virtual, item.event.real)
