"""What ldirectord has in memory once it has read a file: values as it would have them, and where each was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag

from healthd.config.problems import Span
from healthd.model import Family

UNSET = "-1"
"""Its word for a number that nobody gave."""


class Stages(Flag):
    """States of the daemon in which mail is sent; the values are ldirectord's own bits."""

    NONE = 0
    STARTING = 1
    RUNNING = 2
    STOPPING = 4
    RELOADING = 8
    ALL = 15


@dataclass(frozen=True, slots=True)
class Fallback:
    """A fallback server, resolved. port: None for that of each virtual."""

    server: str
    port: str | None
    forward: str


@dataclass(frozen=True, slots=True)
class Real:
    """A real server. port: "0" if none was given. thresholds: None if not given. url: what an http probe asks for.

    own: the line has its own request and receive. asked: port of the probe, None if there is none. where: its line.
    """

    server: str
    port: str
    forward: str
    weight: int
    request: str
    receive: str
    lower: int | None
    upper: int | None
    num_connects: int
    url: str
    own: bool
    asked: str | None
    where: Span = field(default=Span(), compare=False)
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Virtual:
    """A virtual service. Texts are as ldirectord has them; numbers are texts too, since it never looks at them as such.

    fwm: the firewall mark, None for an address. servicename and what else nobody gave: None. where: the value of each
    directive; comments: lines of the file that belong to it, with the numbers of their lines. host: as it was written.
    """

    family: Family
    fwm: str | None
    server: str | None
    port: str
    protocol: str
    scheduler: str
    service: str
    checktype: str
    num_connects: str
    checkcommand: str
    checktimeout: str
    negotiatetimeout: str
    checkcount: str
    failurecount: str
    checkinterval: str | None
    checkport: str | None
    request: str
    receive: str
    httpmethod: str
    virtualhost: str | None
    login: str
    passwd: str
    database: str
    secret: str
    load: str | None
    persistent: str | None
    netmask: str | None
    schedflags: str | None
    ops: str
    fallback: Fallback | None
    fallbackcommand: str | None
    quiescent: str | None
    cleanstop: str | None
    emailalert: str | None
    emailalertfreq: str | None
    emailalertstatus: Stages | None
    monitorfile: str | None
    smtp: str | None
    servicename: str | None
    comment: str | None
    flags: str
    real: tuple[Real, ...]
    where: Mapping[str, Span] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        """Its name in ldirectord's log: tcp:192.0.2.1:80, fwm:7, fwm6:7."""
        return identity(self.protocol, self.family, self.fwm, self.server, self.port)


def identity(protocol: str, family: Family, fwm: str | None, server: str | None, port: str) -> str:
    """The name of a virtual service in ldirectord's log, by which it also finds duplicates."""
    if fwm is None:
        return f"{protocol}:{server}:{port}"
    return f"{protocol}{'6' if family is Family.IPV6 else ''}:{fwm}"


@dataclass(frozen=True, slots=True)
class Globals:
    """The global directives. fallback: one for tcp and one for udp, as service names may mean different ports."""

    autoreload: str = "no"
    callback: str | None = None
    checkcount: str = "1"
    checkinterval: str = "10"
    checktimeout: str = UNSET
    cleanstop: str = "yes"
    emailalert: str = ""
    emailalertfreq: str = "0"
    emailalertfrom: str | None = None
    emailalertstatus: Stages = Stages.ALL
    execute: tuple[str, ...] = ()
    failurecount: str = "1"
    fallback: tuple[Fallback, Fallback] | None = None
    fallback6: tuple[Fallback, Fallback] | None = None
    fallbackcommand: str | None = None
    fork: str = "no"
    logfile: str = "/var/log/ldirectord.log"
    maintenancedir: str | None = None
    negotiatetimeout: str = UNSET
    quiescent: str = "no"
    readdquiescent: str = "no"
    smtp: str | None = None
    supervised: str = "no"
    where: Mapping[str, Span] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Stock:
    """A whole file as ldirectord would have it."""

    globals: Globals
    virtuals: tuple[Virtual, ...]
