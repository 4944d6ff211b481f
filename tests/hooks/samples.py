"""One event of every kind, worded by the director's own functions, and a way to wait for a condition."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from healthd import narrate
from healthd.check import Outcome, Reason, Verdict
from healthd.config.schema import Admin, Fallback, RealServer, ServiceConfig
from healthd.drift import Edit
from healthd.events import Event, Kind
from healthd.health import Phase
from healthd.ipvs.base import RowRefused
from healthd.model import AddressKey, DestKey, DestSpec, Forwarding, Protocol, ServiceSpec
from healthd.narrate import Transition
from healthd.ops import AddDest, AddService, DelDest, DelService, SetDest, SetService
from healthd.overrides import Override, OverrideKind, Scope, told_ended, told_set
from healthd.policy import Wish

AT = 1795317164.123
KEY = AddressKey(Protocol.TCP, IPv4Address("192.0.2.80"), 80)
SERVER, SORRY = DestKey(IPv4Address("10.0.0.11"), 80), DestKey(IPv4Address("127.0.0.1"), 8080)
FULL, LESS, NONE = (DestSpec(Forwarding.GATE, weight) for weight in (10, 5, 0))
ROUTED = DestSpec(Forwarding.MASQ, 10)
SORRY_ROW, MORE_SORRY_ROW = DestSpec(Forwarding.MASQ, 1), DestSpec(Forwarding.MASQ, 2)
REAL = RealServer(SERVER, FULL)
WWW = ServiceConfig("www", KEY, ServiceSpec("wlc"), (REAL,), fallback=Fallback(SORRY, SORRY_ROW))

PASSED = Verdict(Outcome.PASS, Reason.OK, "200 OK")
LATE = Verdict(Outcome.FAIL, Reason.TIMEOUT, "no answer within 1 s")
TIRED = Verdict(Outcome.PASS, Reason.OK, "the script asks for 5")
DRAINED = Override(Scope("", "10.0.0.11"), OverrideKind.DRAIN, "amy", "new kernel", 0.0)
UNASKED = Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "too many open files")


def sample(kind: Kind, **changes: object) -> Event:
    """An event of that kind as the director makes it, at AT."""
    return replace(_made(kind), **changes)


def _made(kind: Kind) -> Event:
    match kind:
        case Kind.SERVER_UP:
            return _server(Phase.DOWN, Phase.UP, PASSED, FULL)
        case Kind.SERVER_DOWN:
            return _server(Phase.UP, Phase.DOWN, LATE, NONE)
        case Kind.SERVER_WEIGHT:
            return _row(LESS, TIRED)
        case Kind.SERVER_CHANGED:
            return _row(ROUTED, None)
        case Kind.SERVER_ADMIN:
            done = narrate.effects([SetDest(KEY, SERVER, NONE)])
            return narrate.server_admin(WWW, REAL, Wish(Admin.DRAINED, ""), Phase.UP, NONE, done, AT)
        case Kind.OVERRIDE_SET:
            return told_set(DRAINED, AT)
        case Kind.OVERRIDE_ENDED:
            return told_ended(DRAINED, "bob", AT)
        case Kind.SERVER_FAILING:
            return narrate.server_failing(WWW, REAL, 1, 3, LATE, AT)
        case Kind.SERVER_STEADY:
            return narrate.server_steady(WWW, REAL, 1, 3, AT)
        case Kind.SERVER_UNSURE:
            return narrate.server_certainty(WWW, REAL, Phase.UP, UNASKED, AT)
        case Kind.SERVER_SURE:
            return narrate.server_certainty(WWW, REAL, Phase.UP, PASSED, AT)
        case Kind.SERVER_REMOVED:
            return narrate.server_removed("www", KEY, SERVER, narrate.effects([DelDest(KEY, SERVER)]), AT)
        case Kind.SERVICE_DOWN | Kind.SERVICE_UP:
            return narrate.service_usable(WWW, kind is Kind.SERVICE_UP, AT)
        case Kind.FALLBACK_ON:
            return narrate.fallback(WWW, SORRY, SORRY_ROW, narrate.effects([AddDest(KEY, SORRY, SORRY_ROW)]), AT)
        case Kind.FALLBACK_OFF:
            return narrate.fallback(WWW, SORRY, None, narrate.effects([DelDest(KEY, SORRY)]), AT)
        case Kind.FALLBACK_CHANGED:
            done = narrate.effects([SetDest(KEY, SORRY, MORE_SORRY_ROW)])
            return narrate.fallback_changed(WWW, SORRY, SORRY_ROW, MORE_SORRY_ROW, done, AT)
        case Kind.SERVICE_ADDED:
            return narrate.service_listed("www", KEY, True, narrate.effects([AddService(KEY, WWW.spec)]), AT)
        case Kind.SERVICE_CHANGED:
            spec = ServiceSpec("wrr")
            return narrate.service_changed("www", KEY, spec, WWW.spec, narrate.effects([SetService(KEY, WWW.spec)]), AT)
        case Kind.SERVICE_REMOVED:
            return narrate.service_listed("www", KEY, False, narrate.effects([DelService(KEY)]), AT)
        case Kind.DRIFT:
            return narrate.drifted(Edit(KEY, SERVER, FULL, LESS), {KEY: "www"}, "it is written again", AT)
        case Kind.ROW_REFUSED:
            return narrate.row_refused(RowRefused(AddDest(KEY, SERVER, FULL), errno.EINVAL), {KEY: "www"}, 30.0, AT)
    message, reason, detail = TOLD[kind]
    return Event(kind, AT, message, reason=reason, detail=detail)


# What the director and the daemon say in passing.
TOLD = {
    Kind.TABLE_LOST: ("the table cannot be kept: no permission for IPVS", "", "no permission for IPVS"),
    Kind.TABLE_BACK: ("the table can be kept again", "", ""),
    Kind.PROBER_LOST: ("prober 0 exited with 1; servers keep their state until it is back", "", ""),
    Kind.RELOADED: ("the configuration was read again: 12 services", "", ""),
    Kind.RELOAD_FAILED: (
        "reload refused: www.toml:4:1: error: unknown key 'pot'; nothing was changed",
        "",
        "www.toml:4:1: unknown key 'pot'\n",
    ),
    Kind.CHANGE_IGNORED: (
        "changed on disk: /etc/healthd/healthd.toml; [reload] watch is off, so it is not read",
        "/etc/healthd/healthd.toml",
        "",
    ),
    Kind.STARTED: ("healthd 0.1.0 keeps 12 services", "/usr/sbin/ldirectord www.cf start", "as daemon"),
    Kind.STOPPING: ("healthd stops, stop policy leave", "", "TERM"),
}
"""Message, reason and detail."""


def _server(previous: Phase, phase: Phase, verdict: Verdict, row: DestSpec) -> Event:
    done = narrate.effects([SetDest(KEY, SERVER, row)])
    return narrate.server_changed(WWW, REAL, Transition(previous, phase, verdict), row, done, AT)


def _row(row: DestSpec, verdict: Verdict | None) -> Event:
    done = narrate.effects([SetDest(KEY, SERVER, row)])
    return narrate.row_changed(WWW, REAL, Phase.UP, (FULL, row), verdict, done, AT)


async def until(condition: Callable[[], object], bound: float = 30.0) -> None:
    """Wait until a condition holds; fail after a generous bound."""
    end = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)
