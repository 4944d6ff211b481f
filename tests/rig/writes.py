"""Counts every write to any IPVS table, whoever makes it: a probe on the kernel's function behind all of them.

ip_vs_genl_set_cmd (net/netfilter/ipvs/ip_vs_ctl.c) is called once for each netlink command that changes services,
destinations or timeouts. So a test can say that nothing was written, not just that the table looks the same.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TRACING = Path("/sys/kernel/tracing")
NAME = "healthd_rig"


@dataclass(frozen=True, slots=True)
class Writes:
    """The writes since the probe was set, or since `forget`."""

    trace: Path

    def forget(self) -> None:
        """Begin to count anew."""
        self.trace.write_text("")

    def by_program(self) -> dict[str, int]:
        """How many writes each program made, by its name for the kernel (the first 15 bytes)."""
        return dict(Counter(re.findall(r"^ *(\S.*)-\d+ +\[", self.trace.read_text(), re.MULTILINE)))

    def total(self) -> int:
        """How many writes there were."""
        return sum(self.by_program().values())


@contextmanager
def counted() -> Iterator[Writes]:
    """Count writes while the block runs. Skips the test where the kernel has no such probes."""
    if not (TRACING / "kprobe_events").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=False)
    events, instance = TRACING / "kprobe_events", TRACING / "instances" / NAME
    if not events.exists():
        pytest.skip("this kernel has no kprobes")
    _append(events, f"p:{NAME}/write ip_vs_genl_set_cmd")
    instance.mkdir()
    switch = instance / "events" / NAME / "write" / "enable"
    switch.write_text("1")
    try:
        yield Writes(instance / "trace")
    finally:
        switch.write_text("0")
        instance.rmdir()
        _append(events, f"-:{NAME}/write")


def _append(events: Path, line: str) -> None:
    """Add or take away one probe. Without O_APPEND all others would go; Python's mode "a" seeks, which fails here."""
    descriptor = os.open(events, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)
