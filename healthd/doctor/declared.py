"""Judging the configuration beyond what loading it says: only what surprises people at night. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from healthd.config.problems import Severity
from healthd.config.schema import Admin
from healthd.doctor.facts import Facts
from healthd.doctor.findings import Finding, Level, fine, named


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about the configuration."""
    yield from _problems(facts)
    yield from _services(facts)


def _problems(facts: Facts) -> Iterator[Finding]:
    for severity, level, why in (
        (Severity.ERROR, Level.ERROR, "healthd does not start with it, and a reload changes nothing"),
        (Severity.WARNING, Level.WARNING, "it can be used, but is hardly what was meant"),
    ):
        found = [problem for problem in facts.problems if problem.severity is severity]
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            yield Finding(
                f"config.{level.word}", level, f"{found[0]}{more}", why, "healthd check-config shows all of it"
            )
    if not facts.problems:
        yield fine("config.loads", f"the configuration is in order: {len(facts.config.services)} services")


def _services(facts: Facts) -> Iterator[Finding]:
    services = facts.config.services
    unchecked = [service.name for service in services if any(not real.checks for real in service.reals)]
    if unchecked:
        yield Finding(
            "config.unchecked",
            Level.HINT,
            f"servers without a check: {named(unchecked)}",
            "they keep their weight whatever becomes of them",
            "add [service.check]",
        )
    alone = [service.name for service in services if len(service.reals) == 1 and not service.fallback]
    if alone:
        yield Finding(
            "config.alone",
            Level.HINT,
            f"one server and no fallback: {named(alone)}",
            "when that fails, clients wait or are refused, and nobody tells them why",
            "add a fallback, or a second server",
        )
    out = [s.name for s in services if s.reals and all(real.admin is not Admin.ENABLED for real in s.reals)]
    if out:
        yield Finding(
            "config.all-out",
            Level.WARNING,
            f"all servers are taken out by the configuration (admin): {named(out)}",
            "the service takes no new connection but by its fallback",
            'set admin = "enabled" where work is done',
        )
