"""Events in the words of ldirectord's log, for programs that watch it. Pure.

A line of ldirectord's stands alone, letter for letter: what matches it to its end goes on to match. Why a server is
down is news that ldirectord never had; it is healthd's own sentence, in a line after it. An event that ldirectord has
no words for is healthd's own sentence alone. No event is left out.
"""

from __future__ import annotations

from healthd import __version__
from healthd.events import Event, Kind
from healthd.hooks.words import sentence

VERSION = f"Linux Director v1.186-ha+healthd-{__version__}"
"""The version whose lines these are, and our own; without a blank, as those who look for it expect."""

_SERVERS = frozenset({Kind.SERVER_UP, Kind.SERVER_DOWN, Kind.SERVER_WEIGHT, Kind.SERVER_CHANGED, Kind.SERVER_ADMIN})
_OURS_TOO = frozenset(
    {
        Kind.SERVER_DOWN,
        Kind.SERVER_WEIGHT,
        Kind.SERVER_CHANGED,
        Kind.SERVER_FAILING,
        Kind.SERVER_ADMIN,
        Kind.FALLBACK_CHANGED,
        Kind.SERVICE_CHANGED,
        Kind.STARTED,
        Kind.RELOADED,
        Kind.RELOAD_FAILED,
    }
)
"""Kinds whose own sentence says more than ldirectord's line: evidence, old values, the services, what was wrong."""


def lines(event: Event, *, stopping: bool = False) -> tuple[str, ...]:
    """What the log says of an event, one line or several. stopping: the daemon has been told to stop."""
    own = sentence(event)
    stock = _stock(event, "stop" if stopping else "start")
    if not stock:
        return (own,)
    return (*stock, own) if event.kind in _OURS_TOO else stock


def ended(stopping: Event) -> str:
    """The last line of a daemon. stopping: the event that said it was told to stop; its detail is the signal."""
    return f"Linux Director Daemon terminated on signal: {stopping.detail}"


def _stock(event: Event, when: str) -> tuple[str, ...]:
    """The lines of ldirectord itself; none where it has no words for the event."""
    match event.kind:
        case Kind.SERVICE_ADDED:
            return (f"Added virtual server: {virtual_of(event.virtual)}",)
        case Kind.SERVICE_CHANGED:
            return (f"Changed virtual server: {virtual_of(event.virtual)}",)
        case Kind.SERVICE_REMOVED:
            return (f"Purged virtual server ({when}): {virtual_of(event.virtual)}",)
        case Kind.SERVER_REMOVED:
            return (f"Purged {_row(event, 'real', when)}",)
        case Kind.FALLBACK_ON:
            return (f"Added {_row(event, 'fallback')} (Weight set to {event.weight})",)
        case Kind.FALLBACK_CHANGED:
            return (f"Restored {_row(event, 'fallback')} (Weight set to {event.weight})",)
        case Kind.FALLBACK_OFF:
            return (f"Deleted {_row(event, 'fallback')}",)
        case Kind.SERVER_FAILING:
            return (f"Soft failure real server: {_soft(event)} failure {event.streak}",)
        case Kind.SERVER_STEADY:
            return (f"Resetting soft failure count: {_soft(event)}",)
        case Kind.STARTED:
            called = (f"Invoking ldirectord invoked as: {event.reason} ",) if event.reason else ()
            return (*called, f"Starting {VERSION} {event.detail}")
        case Kind.RELOADED | Kind.RELOAD_FAILED if not event.reason:
            return ("Reloading Linux Director Daemon config on signal",)
        case Kind.RELOADED | Kind.RELOAD_FAILED:
            return (_changed(event), " - reread new configuration")
        case Kind.CHANGE_IGNORED:
            return (_changed(event), " - ignore new configuration")
        case kind if kind in _SERVERS:
            return _server(event)
    return ()


def _server(event: Event) -> tuple[str, ...]:
    """What was done to a server's row, whoever caused it: ldirectord has words for nothing else."""
    verbs = {text.partition(" ")[0] for text in event.effect}
    row = _row(event, "real")
    if event.weight is None:
        return (f"Deleted {row}",) if "delete" in verbs else ()
    if "add" in verbs:
        return (f"{'Added' if event.weight else 'Readd Quiescent'} {row} (Weight set to {event.weight})",)
    if "set" in verbs:
        return (f"{'Restored' if event.weight else 'Quiescent'} {row} (Weight set to {event.weight})",)
    return ()


def _soft(event: Event) -> str:
    """Server and service as these lines have them: the service with its protocol in front, fwm and fwm6 for marks."""
    name, _, last = event.virtual.rpartition("/")
    if name.startswith("fwmark "):
        last = "fwm" if last == "ipv4" else "fwm6"
    return f"{event.real} ({last}:{name.removeprefix('fwmark ')})"


def _row(event: Event, tag: str, when: str = "") -> str:
    return f"{tag} server{f' ({when})' if when else ''}: {event.real} ({virtual_of(event.virtual)})"


def _changed(event: Event) -> str:
    return f"Configuration file '{event.reason}' has changed on disk"


def virtual_of(text: str) -> str:
    """A virtual service as ldirectord writes it: 192.0.2.80:80 for 192.0.2.80:80/tcp, 7 for fwmark 7/ipv4."""
    return text.removeprefix("fwmark ").rpartition("/")[0]
