"""The tables of the configuration: every key with its kind, its default and one sentence for the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from healthd.config import addresses, shape
from healthd.config.addresses import Endpoint, Span
from healthd.config.decode import At, Kind, Layer, Report, Told, Unfit, build, decode, key, keys_of
from healthd.config.kinds import (
    MAX_U32,
    any_text,
    duration,
    flag,
    interface,
    kernel_name,
    mailbox,
    many,
    members,
    netns,
    number,
    path,
    path_or_none,
    sender,
    server,
    table,
    tables,
    text,
    title,
    whole,
    whole_seconds,
    words,
)
from healthd.config.schema import Admin, MailTls, OnFailure, OnStop, Stage
from healthd.model import MAX_WEIGHT, Address, Checksum, Encapsulation, Family, Forwarding, Protocol, SyncState, Tunnel

Given = tuple[tuple[At, Mapping[str, Any]], ...]

MAX_PERSISTENCE = 31 * 86400
MAX_KERNEL_TIMEOUT = 31 * 86400

FORWARDINGS: Mapping[str, Forwarding] = {
    "masq": Forwarding.MASQ,
    "gate": Forwarding.GATE,
    "ipip": Forwarding.IPIP,
    "nat": Forwarding.MASQ,
    "route": Forwarding.GATE,
    "dr": Forwarding.GATE,
    "tunnel": Forwarding.IPIP,
}
FAMILIES: Mapping[str, Family] = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
PROTOCOLS: Mapping[str, Protocol] = {p.name.lower(): p for p in Protocol}
ENCAPSULATIONS: Mapping[str, Encapsulation] = {e.name.lower(): e for e in Encapsulation}
CHECKSUMS: Mapping[str, Checksum] = {c.name.lower(): c for c in Checksum}
SYNC_STATES: Mapping[str, SyncState] = {s.name.lower(): s for s in SyncState}
SCHEDULER_FLAGS = ("sh-fallback", "sh-port", "mh-fallback", "mh-port", "flag-1", "flag-2", "flag-3")


def nested(
    table: type[Any], expects: str, short: str | None = None, then: Callable[[Any, Report], Any] | None = None
) -> Kind[Any]:
    """A table within a table. short: the key that a value which is no table stands for. then: what to make of it."""

    def read(value: object, at: At, report: Report) -> Any:
        if isinstance(value, dict):
            layer = decode(keys_of(table), value, at, report)
            found = build(table, layer, report)
            if found is None or layer.bad or len(layer.values) < len(value):
                raise Told
            return found
        if short is None:
            raise Unfit
        inner = keys_of(table)[short].kind.take(value, at, report)
        return table(Layer(at, {short: inner}), **{short: inner})

    def convert(value: object, at: At, report: Report) -> Any:
        found = read(value, at, report)
        return found if then is None else then(found, report)

    keys = keys_of(table)
    whole_table = shape.table(keys)
    schema = whole_table if short is None else shape.one_of(whole_table, keys[short].kind.schema)
    return Kind(expects, convert, schema=schema)


@dataclass(frozen=True, slots=True)
class TunnelTable:
    """How packets to a server behind a tunnel are wrapped."""

    layer: Layer
    type: Encapsulation = key(words(ENCAPSULATIONS), "what a packet is wrapped in", Encapsulation.IPIP, shown='"ipip"')
    port: int = key(whole(1, 65535), "UDP port of a `gue` tunnel; required there, not allowed elsewhere", 0)
    checksum: Checksum = key(
        words(CHECKSUMS), "checksum of a `gue` or `gre` tunnel (`remcsum` only of `gue`)", Checksum.NONE, shown='"none"'
    )


def _tunnel(table: TunnelTable, report: Report) -> Tunnel:
    """The tunnel of its table, or Told if its parts do not fit together."""
    for name, why in _misfits(table):
        report.error(table.layer.where(name), f"{name}: {why}")
    if any(_misfits(table)):
        raise Told
    return Tunnel(table.type, table.port, table.checksum)


def _misfits(table: TunnelTable) -> Iterator[tuple[str, str]]:
    kind = table.type.name.lower()
    if kind == "gue" and not table.port:
        yield "port", "a gue tunnel needs its UDP port"
    if kind != "gue" and table.port:
        yield "port", f"only of a gue tunnel, this one is {kind}"
    if kind != "gue" and table.checksum is Checksum.REMCSUM:
        yield "checksum", f"remcsum only of a gue tunnel, this one is {kind}"
    if kind == "ipip" and table.checksum is Checksum.CSUM:
        yield "checksum", "only of a gue or gre tunnel, this one is ipip"


@dataclass(frozen=True, slots=True)
class PersistentTable:
    """Clients of one network stay with one server."""

    layer: Layer
    timeout: int = key(whole_seconds(1, MAX_PERSISTENCE), "how long a client is remembered", 300, shown='"5m"')
    netmask: tuple[Family | None, int] | None = key(
        addresses.prefix, "which part of the client's address counts; default: all of it"
    )
    prefix: tuple[Family | None, int] | None = key(addresses.prefix, "the same as `netmask`; only one may be given")
    engine: str | None = key(kernel_name, 'persistence engine, for example "sip"; default: none')


def _one_netmask(table: PersistentTable, report: Report) -> PersistentTable:
    if table.netmask is not None and table.prefix is not None:
        report.error(
            table.layer.where("prefix"), "prefix: it is another name of netmask, which is given too", on_key=True
        )
        raise Told
    return table


TUNNEL = nested(
    TunnelTable, 'a table such as { type = "gue", port = 6080 } or one of "ipip", "gue", "gre"', "type", _tunnel
)
PERSISTENT = nested(
    PersistentTable,
    f"a duration of whole seconds from 1s to {MAX_PERSISTENCE // 86400}d or a table with timeout, netmask, engine",
    "timeout",
    _one_netmask,
)
WEIGHT = whole(0, MAX_WEIGHT)


@dataclass(frozen=True, slots=True)
class FallbackTable:
    """The server that steps in when no real server is usable."""

    layer: Layer
    address: Endpoint = key(addresses.somewhere, "address, with or without a port", required=True)
    port: int | None = key(whole(0, 65535), "port; default: the virtual port")
    forward: Forwarding | None = key(
        words(FORWARDINGS), "forwarding method; default: `gate` for a loopback address, otherwise that of the service"
    )
    tunnel: Tunnel | None = key(TUNNEL, "kind of tunnel; default: that of the service if this is a tunnel")
    weight: int = key(whole(1, MAX_WEIGHT), "weight while it steps in", 1, shown="1")


FALLBACK = nested(FallbackTable, 'a server such as "10.0.0.99:8080" or a table with address, port, forward', "address")


@dataclass(frozen=True, slots=True)
class RealTable:
    """A real server, or a range of them."""

    layer: Layer
    address: Span = key(
        addresses.reals, "address, with or without a port; a range stands for many servers", required=True
    )
    port: int | None = key(whole(0, 65535), "port; default: the virtual port")
    name: str = key(title, "name in logs and commands; not for a range", "")
    weight: int = key(WEIGHT, "share of the load; 0 takes no new connections", 1, shown="1")
    forward: Forwarding | None = key(words(FORWARDINGS), "forwarding method; default: that of the service")
    tunnel: Tunnel | None = key(TUNNEL, "kind of tunnel; default: that of the service")
    upper: int = key(whole(0, MAX_U32), "most connections; 0 is no limit", 0, shown="0")
    lower: int = key(
        whole(0, MAX_U32), "connections below which a server that reached `upper` takes new ones again", 0, shown="0"
    )
    admin: Admin = key(
        members(Admin),
        "`drained`: weight 0; `maintenance`: as if it had failed; `removed`: no row",
        Admin.ENABLED,
        shown='"enabled"',
    )
    check: Given | None = key(
        tables("a table or an array of tables"),
        "checks of this server alone: laid over the service's check of the same name, or added; [] for none",
    )


@dataclass(frozen=True, slots=True)
class MailTable:
    """Mail about servers that go down and come back. What a service does not say, it has from the daemon's [mail]."""

    layer: Layer
    to: tuple[str, ...] = key(many(mailbox, "a list of mail addresses"), "who gets mail; [] for nobody", (), shown="[]")
    from_: str | None = key(sender, "sender; default: the daemon's user at this host")
    server: str | None = key(
        server, 'SMTP server; its port is 25, or 465 with `tls = "tls"`; default: the machine\'s own mailer'
    )
    reminder: float = key(
        duration(0),
        "while a server is down, mail is sent again after so long; 0s for no reminders",
        0.0,
        shown='"0s"',
    )
    during: tuple[Stage, ...] = key(
        many(members(Stage), "a list of " + ", ".join(f'"{stage.value}"' for stage in Stage)),
        "what the daemon must be doing for mail to be sent; [] for never",
        tuple(Stage),
        shown=str([stage.value for stage in Stage]).replace("'", '"'),
    )
    tls: MailTls = key(
        members(MailTls),
        "encryption to `server`: `auto` where it offers STARTTLS, `starttls` always (as is `auto` with a `username`), "
        "`tls` from the first byte",
        MailTls.AUTO,
        shown='"auto"',
    )
    verify: bool = key(flag, "with `starttls` and `tls`, verify the server's certificate and name", True, shown="true")
    ca_file: str | None = key(path, "PEM file of the authorities to trust; default: the system's", file="read")
    username: str | None = key(title, "user to log in as at `server`; default: no login")
    password: str | None = key(text, "that user's password", secret=True)
    password_file: str | None = key(path, "file with the password, instead of `password`", file="read")


@dataclass(frozen=True, slots=True)
class ServiceTable:
    """A virtual service."""

    layer: Layer
    name: str = key(title, "name in logs and commands; default: the virtual address", "")
    virtual: Endpoint | None = key(
        addresses.virtual, "virtual address and port; port 0 is every port and needs `persistent`"
    )
    fwmark: int | None = key(whole(1, MAX_U32), "firewall mark, instead of `virtual`")
    family: Family = key(words(FAMILIES), "address family of a firewall mark", Family.IPV4, shown='"ipv4"')
    protocol: Protocol = key(words(PROTOCOLS), "transport protocol of `virtual`", Protocol.TCP, shown='"tcp"')
    scheduler: str = key(kernel_name, "scheduler of the kernel", "wlc", shown='"wlc"')
    scheduler_flags: tuple[str, ...] = key(
        many(
            words({name: name for name in SCHEDULER_FLAGS}), "a list of " + ", ".join(f'"{n}"' for n in SCHEDULER_FLAGS)
        ),
        "options of the scheduler",
        (),
        shown="[]",
    )
    persistent: PersistentTable | None = key(PERSISTENT, "persistence: a timeout or a table; default: none")
    one_packet: bool = key(flag, "schedule every datagram by itself (UDP only)", False, shown="false")
    forward: Forwarding = key(words(FORWARDINGS), "forwarding method", Forwarding.GATE, shown='"gate"')
    tunnel: Tunnel | None = key(TUNNEL, 'kind of tunnel of `forward = "ipip"`; default: plain ipip')
    on_failure: OnFailure = key(
        members(OnFailure),
        "a failed server gets weight 0 (`quiesce`) or leaves the table (`remove`)",
        OnFailure.QUIESCE,
        shown='"quiesce"',
    )
    fallback: FallbackTable | None = key(FALLBACK, "server that steps in when no other is usable; default: none")
    admin: Admin = key(
        members(Admin),
        "`drained`: every server gets weight 0; `maintenance`: as if all had failed; `removed`: no rows",
        Admin.ENABLED,
        shown='"enabled"',
    )
    keep_usable: int = key(
        whole(0, 65535), "fewest usable servers that an operator may leave it with, unless they insist", 1, shown="1"
    )
    on_stop: OnStop | None = key(
        members(OnStop), "what becomes of the service when the daemon stops; default: `on_stop` of [daemon]"
    )
    fallback_command: str | None = key(
        text,
        "command line for /bin/sh, run with `start ADDRESS:PORT PROTOCOL` when no server is usable any more and with "
        "`stop ADDRESS:PORT PROTOCOL` when one is again",
    )
    fallback_command_at_stop: bool = key(
        flag, "run `fallback_command` with `stop` when the daemon stops while it is in force", False, shown="false"
    )
    monitor_file: str | None = key(path, "file that gets a line for every probe of its servers")
    maintenance: str | None = key(
        path_or_none, 'folder of maintenance files, "" for none; default: `folder` of [maintenance]'
    )
    title: str = key(title, "what people call the service, for mail", "")
    comment: str = key(any_text, "what people should know of the service, for mail", "", shown='""')
    mail: tuple[At, Mapping[str, Any]] | None = key(
        table("a table with keys of [mail] such as to, from, server, reminder, during"),
        "mail about this service, laid over [mail]; one with a `server` has the keys of that server from itself alone",
    )
    check: Given = key(
        tables("a table or an array of tables"), "how to ask the servers; with several, all must pass", ()
    )
    real: Given = key(tables("an array of tables"), "the real servers", (), required=True)


_NAME_OF_CHECK = Kind('the name of a check such as "http" or "tcp"', text.take, schema=text.schema)


@dataclass(frozen=True, slots=True)
class CheckTable:
    """What every check has, whatever its type; the rest of its table are the options of its type."""

    layer: Layer
    type: str = key(_NAME_OF_CHECK, "what to ask: the name of a check", required=True)
    label: str = key(title, "what a real server's check calls this one by; default: its type", "")
    interval: float = key(duration(0.01), "time from one probe to the next", 5.0, shown='"5s"')
    timeout: float | None = key(
        duration(0.001), "time a probe may take; default: 2s, or half the interval if that is less"
    )
    overrun: bool = key(
        flag,
        "the timeout may be longer than the interval; what is due while a probe is under way is left out",
        False,
        shown="false",
    )
    connects: int = key(
        whole(0, 1_000_000),
        "after the check has passed, so many probes only connect before it is asked again",
        0,
        shown="0",
    )
    fast_interval: float | None = key(
        duration(0.01), "interval while the verdict is in doubt; default: a third of it, 100ms or more"
    )
    jitter: float = key(number(0, 0.5), "part of the interval by which probes are scattered", 0.1, shown="0.1")
    rise: int = key(whole(1, 1000), "passes in a row that bring a server back", 2, shown="2")
    fall: int = key(whole(1, 1000), "failures in a row that take a server out", 3, shown="3")
    address: Address | None = key(addresses.address, "address to ask; default: that of the real server")
    port: int | None = key(whole(1, 65535), "port to ask; default: that of the real server")
    source: Address | None = key(addresses.address, "our own address to ask from; default: the kernel's choice")
    interface: str | None = key(interface, "device to leave by; default: the kernel's choice")
    mark: int | None = key(whole(1, MAX_U32), "firewall mark (SO_MARK) of the probe's packets; default: none")
    netns: str | None = key(netns, "network namespace to ask from; default: our own")


DEFAULT_OF_SERVICE = (
    "protocol",
    "scheduler",
    "scheduler_flags",
    "persistent",
    "one_packet",
    "forward",
    "tunnel",
    "on_failure",
    "fallback",
    "on_stop",
    "fallback_command",
)
DEFAULT_OF_CHECK = (
    "interval",
    "timeout",
    "overrun",
    "fast_interval",
    "jitter",
    "rise",
    "fall",
    "source",
    "interface",
    "mark",
    "netns",
)
DEFAULT_OF_REAL = ("weight", "upper", "lower")


def _places(**tables: type[Any]) -> Mapping[str, str]:
    """Where each key of some tables belongs; the first table counts."""
    headers = {"service": "[[service]]", "real": "[[service.real]]", "check": "[service.check]"}
    return {name: headers[where] for where, table in reversed(tables.items()) for name in keys_of(table)}


ELSEWHERE_OF_FILE = _places(service=ServiceTable, check=CheckTable, real=RealTable)
ELSEWHERE_OF_SERVICE = _places(check=CheckTable, real=RealTable)
ELSEWHERE_OF_REAL = _places(check=CheckTable, service=ServiceTable)
ELSEWHERE_OF_CHECK = _places(service=ServiceTable, real=RealTable)
