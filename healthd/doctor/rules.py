"""What the rules of nft and iptables tell us: asked of their own programs, which must be run as root."""

from __future__ import annotations

import re
import shutil
import subprocess

from healthd.doctor.facts import Firewall
from healthd.ipvs.module import SEARCH

PROGRAMS = (("nft", "list", "ruleset"), ("iptables-save",), ("ip6tables-save",))
PATIENCE = 10.0

NUMBER = r"(0x[0-9a-fA-F]+|\d+)"
MARK = re.compile(rf"\bmeta mark set {NUMBER}(?![\w.-])(?! *[&|^])|--set-x?mark {NUMBER}|--set-mark {NUMBER}")
ANY_MARK = re.compile(r"\bmeta mark set\b|--set-x?mark\b|xt target \"?(?:CONN)?MARK")
STATEFUL = re.compile(r"\bct state\b|\bmasquerade\b|\bsnat\b|--ctstate|--state |-j (?:MASQUERADE|SNAT)\b")


def firewall() -> Firewall | None:
    """The rules of this thread's namespace; None if no program could read any."""
    texts = [text for text in map(_listed, PROGRAMS) if text is not None]
    return read("\n".join(texts)) if texts else None


def read(text: str) -> Firewall:
    """What rules say, as nft and iptables-save list them."""
    marks = [next(filter(None, found.groups())) for found in MARK.finditer(text)]
    return Firewall(
        frozenset(int(mark, 0) for mark in marks),
        vague=len(ANY_MARK.findall(text)) > len(marks),
        stateful=STATEFUL.search(text) is not None,
    )


def _listed(argv: tuple[str, ...]) -> str | None:
    program = shutil.which(argv[0], path=SEARCH)
    if program is None:
        return None
    try:
        done = subprocess.run([program, *argv[1:]], capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
