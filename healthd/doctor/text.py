"""Findings as text for people and as values of JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from healthd.doctor.findings import Finding, Level
from healthd.doctor.judgement import worst
from healthd.log.printable import printable

VERSION = 1
KEEP = "sysctl -w lasts until the next boot: write such lines to /etc/sysctl.d/ as well (etc/sysctl.d/healthd.conf)"
COLORS = {Level.ERROR: "\x1b[1;31m", Level.WARNING: "\x1b[1;33m", Level.HINT: "\x1b[36m", Level.OK: "\x1b[32m"}
END = "\x1b[0m"
INDENT = " " * 9


def as_text(findings: Sequence[Finding], *, least: Level, color: bool = False) -> str:
    """A line for each finding of at least this level, below it why and what to do, and at last a count.

    With warnings and errors alone there is no count, and nothing at all if there are none.
    """
    shown = [finding for finding in findings if finding.level >= least]
    lines = [line for finding in shown for line in _lines(finding, color)]
    if any(command.startswith("sysctl") or " sysctl " in command for f in shown for command in f.commands):
        lines += ["", KEEP]
    if least < Level.WARNING:
        lines += ["", _summary(findings)] if lines else [_summary(findings)]
    return "\n".join(lines)


def _lines(finding: Finding, color: bool) -> Iterator[str]:
    word = f"{finding.level.word:<7}"
    before, after = (COLORS[finding.level], END) if color else ("", "")
    yield f"{before}{word}{after}  {printable(finding.seen)}"
    if finding.why:
        yield f"{INDENT}{printable(finding.why)}"
    yield from (f"{INDENT}do: {printable(remedy)}" for remedy in (*finding.commands, finding.do) if remedy)


def _summary(findings: Sequence[Finding]) -> str:
    counts = {level: sum(finding.level is level for finding in findings) for level in sorted(Level, reverse=True)}
    parts = [f"{counts[level]} {_plural(level, counts[level])}" for level in counts if counts[level] and level]
    parts.append(f"{counts[Level.OK]} things are in order")
    return ", ".join(parts)


def _plural(level: Level, count: int) -> str:
    return level.word if count == 1 else f"{level.word}s"


def as_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """All findings, those that all is well among them, as values of JSON."""
    return {"version": VERSION, "worst": worst(findings).word, "findings": [_value(finding) for finding in findings]}


def _value(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "severity": finding.level.word,
        "seen": finding.seen,
        "why": finding.why,
        "do": finding.do,
        "commands": list(finding.commands),
    }
