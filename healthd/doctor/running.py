"""Judging the running daemon by the status document it serves (`healthd.view`). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healthd.doctor.facts import Facts
from healthd.doctor.findings import Finding, Level, fine, named

SILENT = 5.0
"""Seconds; a prober says something every second."""
LATE = 0.2
"""Part of the shortest interval by which probes may be late before that is worth a word."""

Document = Mapping[str, Any]


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about the daemon."""
    document = facts.daemon.document
    if document is None:
        yield _nobody(facts)
        return
    yield fine("daemon.answers", f"healthd {document['healthd']} runs as process {document['pid']}")
    yield from _itself(facts, document)
    yield from _prober(facts, document["prober"])
    yield from _services(facts, document["services"])
    yield from _deliveries(document)


def _nobody(facts: Facts) -> Finding:
    daemon = facts.daemon
    if daemon.denied:
        return Finding("daemon.answers", Level.HINT, daemon.why, "the running daemon was not looked at", "ask as root")
    if daemon.holders:
        pids = ", ".join(str(pid) if pid else "one that cannot be seen from here" for pid in sorted(daemon.holders))
        return Finding(
            "daemon.answers",
            Level.WARNING,
            f"{daemon.why}, but these services are kept by process {pids}",
            "status, reload and this command cannot reach it",
            "name its control socket with -s",
        )
    return Finding("daemon.answers", Level.HINT, daemon.why, "nobody keeps the table", "systemctl enable --now healthd")


def _itself(facts: Facts, document: Document) -> Iterator[Finding]:
    table = document["table"]
    if not table["ok"]:
        why = "the daemon writes nothing: dead servers keep their weight"
        yield Finding("daemon.table", Level.ERROR, f"the daemon has no table: {table['error']}", why, "see kernel.ipvs")
    if document["healthd"] != facts.version:
        yield Finding(
            "daemon.version",
            Level.HINT,
            f"the daemon is healthd {document['healthd']}, installed is {facts.version}",
            "what was mended is in force after a restart",
            "the table stays as it is meanwhile",
            ("systemctl restart healthd",),
        )
    others = {pid for pid in facts.daemon.holders or () if pid != document["pid"]}
    if others:
        yield Finding(
            "others.healthd",
            Level.WARNING,
            f"process {', '.join(map(str, sorted(others)))}, another healthd, keeps services of this configuration",
            "the daemon that was asked cannot take them over",
            "stop one of the two, or name the other one's socket with -s",
        )


def _prober(facts: Facts, prober: Document) -> Iterator[Finding]:
    if prober["age"] is None:
        if prober["probes"]:
            yield Finding("daemon.prober", Level.HINT, "the prober has made no probe yet", "", "ask again in a moment")
        return
    if prober["age"] > SILENT:
        yield Finding(
            "daemon.prober",
            Level.ERROR,
            f"the prober has said nothing for {prober['age']:.0f} s",
            "servers keep their state, dead or alive",
            "look for prober-lost in the log, and for memory or a kill in the kernel's",
        )
    yield from _pace(facts, prober)
    if prober["inconclusive"]:
        yield Finding(
            "daemon.inconclusive",
            Level.WARNING,
            f"{prober['inconclusive']} probes of the last second could not be made",
            "their servers keep their state, dead or alive",
            "server-unsure in the log says why; healthd probe shows it",
        )


def _pace(facts: Facts, prober: Document) -> Iterator[Finding]:
    intervals = [p.cadence.interval for s in facts.config.services for real in s.reals for p in real.checks]
    bound = LATE * min(intervals, default=5.0) * 1000
    late, missed, stalls = prober["lateness_p99_ms"], prober["missed"], prober["stalls"]
    seen = (
        f"in the last second probes were late by {late} ms (p99), {missed} were left out, the prober stalled {stalls}x"
    )
    if late <= bound and not missed and not stalls:
        yield fine("daemon.pace", f"probes are late by {late} ms (p99)")
        return
    yield Finding(
        "daemon.pace",
        Level.WARNING,
        seen,
        "failures are noticed later than configured",
        "the machine is short of CPU, or paused by its host; more [prober] processes help only if there are CPUs",
    )


def _services(facts: Facts, services: list[dict[str, Any]]) -> Iterator[Finding]:
    absent = [service["name"] for service in services if not service["present"] and service["reals"]]
    if absent:
        why = "nobody is served: no server has passed yet, all were removed, or the kernel refused the service"
        yield Finding("daemon.services", Level.ERROR, f"not in the table: {named(absent)}", why, "healthd status")
    refused = [text for service in services for text in (service["refused"], *(r["refused"] for r in service["reals"]))]
    for text in list(filter(None, refused))[:3]:
        yield Finding("daemon.refused", Level.ERROR, f"the kernel refused to {text}", "that row is not in the table")
    idle = [s["name"] for s in services if s["present"] and s["reals"] and not _takes_any(s)]
    if idle:
        why = "clients wait or are refused"
        yield Finding("daemon.idle", Level.ERROR, f"no server takes connections: {named(idle)}", why, "healthd status")
    strange = {service.name for service in facts.config.services} ^ {service["name"] for service in services}
    if strange and facts.config.services:
        yield Finding(
            "daemon.outdated",
            Level.HINT,
            f"the daemon does not have the services of this configuration: {named(sorted(strange))}",
            "another configuration was asked about, or it was changed and not read again",
            "",
            ("healthd reload",),
        )


def _takes_any(service: Document) -> bool:
    rows = [*service["reals"], *service["others"], *([service["fallback"]] if service["fallback"] else [])]
    return any(row["weight"] for row in rows)


def _deliveries(document: Document) -> Iterator[Finding]:
    for hook in document["hooks"]:
        if hook["dropped"] or hook["failed"]:
            yield Finding(
                "daemon.hooks",
                Level.WARNING,
                f"hook {hook['name']}: {hook['failed']} events given up, {hook['dropped']} dropped since the start",
                "somebody was not told",
                f"its last error: {hook['last_error']}" if hook["last_error"] else "look for it in the log",
            )
    log = document["log"]
    if log["away"] or log["dropped"] or log["spilled"]:
        yield Finding(
            "daemon.log",
            Level.WARNING,
            f"the log to {log['to']}: {log['spilled']} lines went to standard error, {log['dropped']} were lost",
            "what happened then cannot be read there",
            log["last_error"],
        )
