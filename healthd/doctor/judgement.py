"""Facts -> findings, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from healthd.doctor import declared, ipvs_sysctls, kernel, network, process, running, virtual
from healthd.doctor.facts import Facts
from healthd.doctor.findings import Finding, Level

LOOKED_AT = (declared, kernel, virtual, network, ipvs_sysctls, process, running)


def judge(facts: Facts) -> list[Finding]:
    """Everything that is to be said: the worst first, and in a fixed order among equals."""
    found = dict.fromkeys(chain.from_iterable(part.judge(facts) for part in LOOKED_AT))
    return sorted(found, key=lambda finding: -finding.level)


def worst(findings: Sequence[Finding]) -> Level:
    """The gravest of all."""
    return max((finding.level for finding in findings), default=Level.OK)
