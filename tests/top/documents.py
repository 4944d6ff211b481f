"""Status documents as `healthd.view` makes them, with as many servers as a test wants."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def check(outcome: str = "pass", phase: str = "up", streak: int = 0, detail: str = "connected") -> Document:
    """A check with its last answer."""
    last = {"outcome": outcome, "reason": "ok", "detail": detail, "age": 0.4, "took_ms": 1.25}
    return {"kind": "tcp", "phase": phase, "streak": streak, "inconclusive": 0, "rise": 1, "fall": 3, "last": last}


def server(address: str, phase: str = "up", weight: int | None = 7, active: int = 0, **others: Any) -> Document:
    """A server."""
    usual = {
        "address": address,
        "name": "",
        "phase": phase,
        "for": 12.5,
        "wishes": [],
        "overrides": [],
        "reasons": [] if phase == "up" else ["failed"],
        "refused": None,
        "configured_weight": 7,
        "weight": weight,
        "checks": [check("pass" if phase == "up" else "fail", phase)],
        "connections": {"active": active, "inactive": 2 * active, "persistent": 0},
    }
    return {**usual, **others}


def drained(address: str, why: str = "new kernel", **others: Any) -> Document:
    """A server that root drained."""
    override = {"service": "", "server": address, "kind": "drain", "weight": None, "who": "root", "why": why}
    return server(address, weight=0, reasons=["drained"], overrides=[override], **others)


def service(name: str, *reals: Document, **others: Any) -> Document:
    """A service; its address is made of its name."""
    usual = {"virtual": f"{name}:80/tcp", "present": True, "edited": False, "refused": None, "fallback": None}
    return {"name": name, **usual, "reals": list(reals), "others": [], **others}


def status(*services: Document, **others: Any) -> Document:
    """The whole document."""
    prober = {
        "probes": 4,
        "age": 0.2,
        "passed": 30,
        "failed": 4,
        "inconclusive": 0,
        "missed": 0,
        "lateness_p99_ms": 1.5,
    }
    table = {"ok": True, "error": None, "reads": 2, "writes": 8}
    usual = {"healthd": "0.1.0", "version": 1, "table": table, "prober": prober, "unsaved": ""}
    return {**usual, "services": list(services), **others}


def event(message: str, kind: str = "server-up", number: int = 1) -> Document:
    """An event."""
    return {"id": number, "at": "2026-01-02T03:04:05.678Z", "message": message, "kind": kind}
