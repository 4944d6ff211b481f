"""What the daemon's processes cost: processor time and memory, as the kernel tells (proc(5))."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from healthd.prober.base import Prober

DIRECTOR = "director"
_UTIME, _STIME, _RSS = 11, 12, 21  # fields 14, 15 and 24 of proc_pid_stat(5), counted from behind the name


@runtime_checkable
class OfProcesses(Protocol):
    """A prober that has processes of its own."""

    def pids(self) -> Mapping[str, int]:
        """Their ids by name."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used. cpu: seconds. memory: bytes in RAM."""

    name: str
    cpu: float
    memory: int


def usages(prober: Prober) -> Iterator[Usage]:
    """Of the director, the probers and the runners; without those that have just ended or are hidden from us."""
    pids = {DIRECTOR: os.getpid(), **(prober.pids() if isinstance(prober, OfProcesses) else {})}
    for name, pid in pids.items():
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        yield usage(name, stat)


def usage(name: str, stat: bytes) -> Usage:
    """From the contents of /proc/PID/stat; the program's name in it may have blanks and brackets."""
    fields = stat.rpartition(b")")[2].split()
    ticks = int(fields[_UTIME]) + int(fields[_STIME])
    return Usage(name, ticks / os.sysconf("SC_CLK_TCK"), int(fields[_RSS]) * resource.getpagesize())
