"""What comes into the view, and what it asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

Document = dict[str, Any]


class Key(Enum):
    """A key that is no letter."""

    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    HOME = auto()
    END = auto()
    ENTER = auto()
    ESCAPE = auto()
    BACKSPACE = auto()


Pressed = Key | str


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon's status. at: monotonic seconds. clock: the time of day in UTC, for people."""

    document: Document
    at: float
    clock: str


@dataclass(frozen=True, slots=True)
class Away:
    """The daemon cannot be asked, and why. clock: the time of day when that was found."""

    said: str
    clock: str


@dataclass(frozen=True, slots=True)
class Happened:
    """An event. first: of those that are told from the start again, as after the daemon was away."""

    event: Document
    first: bool = False


@dataclass(frozen=True, slots=True)
class Unheard:
    """Events cannot be followed, and why."""

    said: str


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a server, or a service, is as it is."""

    names: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an order."""

    said: str
    good: bool


Message = Status | Away | Happened | Unheard | Explained | Answered


@dataclass(frozen=True, slots=True)
class Explain:
    """Ask why it is as it is."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """Have something done. body: of the request. done: what to say once it is."""

    method: str
    body: Mapping[str, Any]
    done: str


Request = Explain | Order
