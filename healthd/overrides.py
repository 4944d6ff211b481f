"""What operators ask of servers beside the configuration, and how it is named. Pure.

An override holds for whom its scope covers, also for servers that a later configuration brings, until it is withdrawn
or its time is over. Nothing of a server's own state is changed by it: what the server gets is worked out anew each time
from the configuration and all that is wished (`healthd.policy`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from ipaddress import ip_address
from itertools import chain

from healthd.assignment import ServerRef
from healthd.config.schema import Admin, RealServer, ServiceConfig
from healthd.events import Event, Kind
from healthd.log.entry import rfc3339
from healthd.model import Address, DestKey
from healthd.policy import Wish, combined

OPERATORS = "operators"
"""Who wishes it, for people."""
MOST_NAMED = 10


class OverrideKind(Enum):
    """What is asked: no new connections; as if it had failed; no row at all; another weight than the configured one."""

    DRAIN = "drain"
    MAINTENANCE = "maintenance"
    REMOVE = "remove"
    WEIGHT = "weight"


ADMIN: Mapping[OverrideKind, Admin] = {
    OverrideKind.DRAIN: Admin.DRAINED,
    OverrideKind.MAINTENANCE: Admin.MAINTENANCE,
    OverrideKind.REMOVE: Admin.REMOVED,
    OverrideKind.WEIGHT: Admin.ENABLED,
}


WORDS: Mapping[OverrideKind, str] = {
    OverrideKind.DRAIN: "a drain",
    OverrideKind.MAINTENANCE: "maintenance",
    OverrideKind.REMOVE: "removal",
    OverrideKind.WEIGHT: "weight",
}


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Whom something is about.

    service: its name; empty for every service. server: ADDRESS:PORT, or ADDRESS for all its ports; empty for every
    server of the service. One of them is given.
    """

    service: str = ""
    server: str = ""

    def covers(self, service: ServiceConfig, real: RealServer) -> bool:
        """Whether it is about this server."""
        return self.service in ("", service.name) and self.server in ("", str(real.key), str(real.key.address))

    @property
    def breadth(self) -> tuple[bool, bool, bool]:
        """Less for what is more precise: a server of a service, then a host there, then anywhere, then a service."""
        return (not self.server, not self.service, _address(self.server) is not None)

    def __str__(self) -> str:
        """Text for people: 10.0.0.11:80 of www."""
        if not self.server:
            return f"service {self.service}"
        return f"{self.server} of {self.service}" if self.service else f"{self.server} in every service"


@dataclass(frozen=True, slots=True)
class Override:
    """One thing asked. weight: of kind WEIGHT only. who: the operator. since, until: seconds since the epoch."""

    scope: Scope
    kind: OverrideKind
    who: str
    why: str
    since: float
    until: float | None = None
    weight: int | None = None

    @property
    def wish(self) -> Wish:
        """The same, as policy takes it."""
        return Wish(ADMIN[self.kind], f"{self.who}: {self.why}" if self.why else self.who, self.weight)

    @property
    def lowers(self) -> bool:
        """Whether it takes new connections away from whom it covers."""
        return self.kind is not OverrideKind.WEIGHT or self.weight == 0

    def is_over(self, now: float) -> bool:
        """Whether its time is over. now: seconds since the epoch."""
        return self.until is not None and self.until <= now

    def replaces(self, other: Override) -> bool:
        """Whether there can be only one of the two."""
        return (self.scope, self.kind) == (other.scope, other.kind)

    def __str__(self) -> str:
        """Text for people: a drain for 10.0.0.11 in every service."""
        return f"{WORDS[self.kind]} {'' if self.weight is None else f'{self.weight} '}for {self.scope}"


class UnknownName(LookupError):
    """A name that no service, server or host has. One sentence for people, with what may have been meant."""


def covering(overrides: Iterable[Override], service: ServiceConfig, real: RealServer) -> list[Override]:
    """The overrides that hold for a server: the most precise first, of equals the newest."""
    found = [override for override in overrides if override.scope.covers(service, real)]
    return sorted(found, key=lambda override: (override.scope.breadth, -override.since))


def wishes(overrides: Iterable[Override], services: Iterable[ServiceConfig]) -> dict[ServerRef, Wish]:
    """What is wished of each server that an override covers."""
    listed = tuple(overrides)
    wanted = {}
    for service in services if listed else ():
        for real in service.reals:
            found = covering(listed, service, real)
            if found:
                wanted[service.key, real.key] = combined(override.wish for override in found)
    return wanted


def told_set(override: Override, at: float) -> Event:
    """The event of an override that is in force now. at: seconds since the epoch."""
    until = "" if override.until is None else f", until {rfc3339(override.until)}"
    why = f": {override.why}" if override.why else ""
    return _event(Kind.OVERRIDE_SET, override, f"{override.who} asks for {override}{until}{why}", at)


def told_ended(override: Override, who: str, at: float) -> Event:
    """The event of one that is no longer. who: ended it; empty if its time was over."""
    how = f"{who} ends" if who else "the time is over for"
    why = f": {override.why}" if override.why else ""
    return _event(Kind.OVERRIDE_ENDED, override, f"{how} {override}, which {override.who} had asked for{why}", at)


def _event(kind: Kind, override: Override, message: str, at: float) -> Event:
    scope = override.scope
    return Event(
        kind, at, message, service=scope.service, real=scope.server, reason=override.who, detail=override.kind.value
    )


def endangered(
    scope: Scope, services: Iterable[ServiceConfig], usable: Callable[[ServiceConfig], Collection[DestKey]]
) -> list[str]:
    """What services would be left with, in words, if whom a scope covers took no new connections any more.

    Only those that would have fewer usable servers than they must keep, and have more now. usable: servers of a
    service that take new connections now.
    """
    found = []
    for service in services:
        now = usable(service)
        left = [real for real in service.reals if real.key in now and not scope.covers(service, real)]
        if len(left) < min(len(now), service.keep_usable):
            found.append(
                f"{service.name} with {len(left)} of {len(now)} usable servers, {service.keep_usable} must stay"
            )
    return found


def find(words: Sequence[str], services: Sequence[ServiceConfig]) -> Scope:
    """The scope that one or two words name: SERVICE, SERVER, or SERVICE SERVER.

    A service has a name and an address (192.0.2.80:80/tcp). A server has an address with its port, an address without
    it (its host, in all services), and perhaps a name. Raises UnknownName.
    """
    *in_service, word = words
    named = [service for service in services if in_service and in_service[0] in _names(service)]
    if in_service and not named:
        raise _unknown("no service is called", in_service[0], chain.from_iterable(map(_names, services)))
    if not in_service:
        for service in services:
            if word in _names(service):
                return Scope(service.name)
    server = _server(word, named or services)
    if server is None:
        lacking = (
            f"service {named[0].name!r} has no real server" if named else "no service and no real server is called"
        )
        raise _unknown(lacking, word, _known(named, services))
    return Scope(named[0].name if named else "", server)


def _server(word: str, services: Iterable[ServiceConfig]) -> str | None:
    """The server or host that a word names in these services; None if none is called so."""
    reals = [real for service in services for real in service.reals]
    called = {real.key for real in reals if real.name == word}
    if len({key.address for key in called}) > 1:
        raise UnknownName(f"several servers are called {word!r}: {_listed(sorted(map(str, called)))}; use an address")
    if called:
        key = called.pop()
        return str(key.address if called else key)
    address = str(_address(word) or word)
    return address if any(address in (str(real.key), str(real.key.address)) for real in reals) else None


def _names(service: ServiceConfig) -> tuple[str, str]:
    return (service.name, str(service.key))


def _known(named: Sequence[ServiceConfig], services: Sequence[ServiceConfig]) -> Iterator[str]:
    if not named:
        yield from chain.from_iterable(map(_names, services))
    for service in named or services:
        for real in service.reals:
            yield from (str(real.key), str(real.key.address), real.name)


def _address(word: str) -> Address | None:
    """An address without a port, in brackets or not; None for anything else."""
    try:
        return ip_address(word.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _unknown(lacking: str, word: str, known: Iterable[str]) -> UnknownName:
    names = sorted({name for name in known if name})
    close = get_close_matches(word, names, n=3)
    hint = f"; did you mean {_listed(close)}?" if close else f"; there is {_listed(names)}" if names else ""
    return UnknownName(f"{lacking} {word!r}{hint}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
