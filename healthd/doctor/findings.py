"""What a finding is, and the few words that all findings share. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

from healthd.config.schema import RealServer, ServiceConfig
from healthd.doctor.facts import Facts, Route, Way
from healthd.model import Address, Forwarding

MOST_NAMED = 4


class Level(IntEnum):
    """OK: looked at and right. HINT: may be meant so. WARNING: will hurt some day. ERROR: traffic fails, or will."""

    OK = 0
    HINT = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """For people and programs."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. id: stays the same for ever, for programs.

    seen: what is so. why: why that matters. do: what to do, in words. commands: lines for a shell that do it.
    """

    id: str
    level: Level
    seen: str
    why: str = ""
    do: str = ""
    commands: tuple[str, ...] = ()


def fine(topic: str, seen: str) -> Finding:
    """A finding that all is well."""
    return Finding(topic, Level.OK, seen)


def named(things: Collection[str]) -> str:
    """A list for people, cut where it gets long: www, mail and 12 more."""
    unique = list(dict.fromkeys(things))
    shown = ", ".join(unique[:MOST_NAMED])
    return f"{shown} and {len(unique) - MOST_NAMED} more" if len(unique) > MOST_NAMED else shown


def sysctl_name(key: str) -> str:
    """The name that sysctl(8) takes for a file below /proc/sys: dots, unless an interface's name has one itself."""
    return key if "." in key else key.replace("/", ".")


def set_sysctl(facts: Facts, key: str, value: int | str) -> str:
    """The command that sets a kernel setting of the network, in the namespace of the table."""
    return inside(facts, f"sysctl -w {sysctl_name(key)}={value}")


def inside(facts: Facts, command: str) -> str:
    """A command, as it is to be given to be run in the namespace of the table."""
    netns = facts.config.settings.table.netns
    if netns is None:
        return command
    return f"nsenter --net={netns} {command}" if "/" in netns else f"ip netns exec {netns} {command}"


def number(facts: Facts, key: str) -> int | None:
    """A kernel setting; None if there is none of this name here."""
    value = facts.sysctls.get(key, "")
    return int(value) if value.lstrip("-").isdecimal() else None


def route_to(facts: Facts, address: Address) -> Route:
    """The way to an address; none if nobody asked for it."""
    return facts.network.routes.get(address, Route(Way.NONE))


def reals(facts: Facts, *ways: Forwarding, version: int = 0) -> list[tuple[ServiceConfig, RealServer]]:
    """Real servers that are forwarded to in one of these ways, with their services. version: of IP, 0 for any."""
    return [
        (service, real)
        for service in facts.config.services
        for real in service.reals
        if real.spec.forwarding in ways and version in (0, real.key.address.version)
    ]


def services_of(pairs: Iterable[tuple[ServiceConfig, RealServer]]) -> str:
    """The services of such pairs, for people."""
    return named([service.name for service, _ in pairs])
