"""What can be asked of the running daemon. The API asks, `healthd.console` answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from healthd.overrides import OverrideKind
from healthd.state import Kept, Wanted

Document = dict[str, Any]


class NotFound(Exception):
    """There is nothing of that name. One sentence for people."""


class Refused(Exception):
    """It could be done and is not, for a reason that whoever asked may set aside (`force`), or cannot change."""


@dataclass(frozen=True, slots=True)
class Order:
    """An override that an operator asks for.

    names: as `overrides.find` takes them. lasting: seconds until it ends by itself, None for until it is withdrawn.
    weight: of kind WEIGHT. force: also if a service would be left with too few servers.
    """

    names: tuple[str, ...]
    kind: OverrideKind
    who: str
    why: str = ""
    weight: int | None = None
    lasting: float | None = None
    force: bool = False


class Actions(Protocol):
    """Every answer is a document of JSON. Raises NotFound and Refused where it says so."""

    async def status(self, counters: bool) -> Document:
        """Everything that is believed; with the table's connection counters if asked for."""
        ...

    async def servers(self, names: Sequence[str], counters: bool) -> Document:
        """The servers that these names mean, all of them without any. NotFound."""
        ...

    async def explain(self, names: Sequence[str]) -> Document:
        """Why the servers, or the services, of these names are as they are. NotFound."""
        ...

    async def overrides(self) -> Document:
        """What operators have asked for and is in force."""
        ...

    async def override(self, order: Order) -> Document:
        """Have an override in force. NotFound; Refused if a service would be left with too few servers."""
        ...

    async def withdraw(self, names: Sequence[str], kinds: Collection[OverrideKind], who: str) -> Document:
        """End overrides of exactly this scope and these kinds. NotFound if there is none."""
        ...

    async def events(self, names: Sequence[str], wanted: Wanted) -> Document:
        """What happened, to these names if there are any. NotFound."""
        ...

    def follow(self, names: Sequence[str], wanted: Wanted) -> AsyncGenerator[Kept]:
        """What happened, and then what happens. NotFound; the generator raises history.FellBehind."""
        ...

    async def check_now(self, names: Sequence[str]) -> Document:
        """Ask these servers as soon as possible. NotFound."""
        ...

    async def resync(self) -> Document:
        """Compare with the table now, and try again what it refused."""
        ...

    async def config(self) -> Document:
        """The configuration in force, without secrets."""
        ...

    async def metrics(self, accept: str) -> tuple[str, Sequence[bytes]]:
        """Content type and, in pieces, the text for Prometheus. accept: the header of that name."""
        ...

    async def reload(self, *, dry: bool) -> Document:
        """Read the configuration again. dry: only say what that would change."""
        ...
