"""One event of every kind as the director makes them, and a way to wait for a condition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from healthd.events import Event, Kind

AT = 1795317164.123
SERVICE, VIRTUAL, REAL = "www", "192.0.2.80:80/tcp", "10.0.0.11:80"


def sample(kind: Kind, **changes: object) -> Event:
    """An event of that kind with everything such an event has."""
    return _changed(Event(kind, AT, "", **_details(kind)), changes)


def _changed(event: Event, changes: dict[str, object]) -> Event:
    known = {name: getattr(event, name) for name in Event.__slots__}
    return Event(**{**known, **changes})


def _details(kind: Kind) -> dict[str, object]:
    service: dict[str, object] = {"service": SERVICE, "virtual": VIRTUAL}
    server = {**service, "real": REAL}
    match kind:
        case Kind.SERVER_UP:
            return server | {
                "previous": "down",
                "phase": "up",
                "reason": "ok",
                "detail": "200 OK",
                "weight": 10,
                "effect": (f"set {REAL} of {VIRTUAL} forward=gate weight=10",),
            }
        case Kind.SERVER_DOWN:
            return server | {
                "previous": "up",
                "phase": "down",
                "reason": "timeout",
                "detail": "no answer within 1 s",
                "weight": 0,
                "effect": (f"set {REAL} of {VIRTUAL} forward=gate weight=0",),
            }
        case Kind.SERVER_WEIGHT:
            return server | {
                "previous": "up",
                "phase": "up",
                "reason": "ok",
                "detail": "the script asks for 5",
                "weight": 5,
                "effect": (f"set {REAL} of {VIRTUAL} forward=gate weight=5",),
            }
        case Kind.SERVER_ADMIN:
            return server | {
                "previous": "up",
                "phase": "up",
                "detail": "drained",
                "weight": 0,
                "effect": (f"set {REAL} of {VIRTUAL} forward=gate weight=0",),
            }
        case Kind.SERVER_UNSURE:
            return server | {"phase": "up", "reason": "local", "detail": "too many open files", "weight": 10}
        case Kind.SERVER_SURE:
            return server | {"phase": "up", "reason": "ok", "weight": 10}
        case Kind.FALLBACK_ON:
            return service | {
                "real": "127.0.0.1:8080",
                "weight": 1,
                "effect": (f"add 127.0.0.1:8080 to {VIRTUAL} forward=masq weight=1",),
            }
        case Kind.FALLBACK_OFF:
            return service | {"real": "127.0.0.1:8080", "effect": (f"delete 127.0.0.1:8080 from {VIRTUAL}",)}
        case Kind.SERVICE_ADDED:
            return service | {"effect": (f"add service {VIRTUAL} scheduler=wlc",)}
        case Kind.SERVICE_REMOVED:
            return service | {"effect": (f"delete service {VIRTUAL}",)}
        case Kind.DRIFT:
            return server | {
                "detail": "weight is 3, not 10",
                "weight": 10,
                "effect": (f"set {REAL} of {VIRTUAL} forward=gate weight=10",),
            }
        case Kind.ROW_REFUSED:
            return server | {"detail": "Invalid argument"}
        case Kind.TABLE_LOST:
            return {"detail": "Operation not permitted: healthd needs CAP_NET_ADMIN"}
        case Kind.PROBER_LOST:
            return {"detail": "exit status 1"}
        case Kind.RELOADED:
            return {"detail": "12 services, 1 changed"}
        case Kind.RELOAD_FAILED:
            return {"detail": "3 problems, the first: services.d/www.toml:4:1: unknown key 'pot'"}
        case Kind.STARTED:
            return {"detail": "12 services, 40 servers"}
        case Kind.STOPPING:
            return {"detail": "SIGTERM"}
        case Kind.TABLE_BACK:
            return {}


async def until(condition: Callable[[], object], bound: float = 30.0) -> None:
    """Wait until a condition holds; fail after a generous bound."""
    end = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)
