"""Runs one command in fresh namespaces of this kernel: nothing outside sees it, nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .command import Command
from .qemu import OUT_OF_TIME

# In namespaces of its own for network, mounts and processes. /run/netns is private too, so names of network
# namespaces are; and when the first process ends, the kernel kills all the others.
UNSHARE = ("unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
PREPARE = "mkdir -p /run/netns && mount -t tmpfs names /run/netns && ip link set lo up || exit 125"


def available() -> str | None:
    """None if this kernel will do, otherwise why not."""
    if os.geteuid() != 0:
        return "only root may make network namespaces with IPVS"
    for tool in ("unshare", "ip"):
        if shutil.which(tool) is None:
            return f"{tool} is missing"
    if not Path("/proc/net/ip_vs").exists():
        modprobe = shutil.which("modprobe")
        if modprobe is None or subprocess.run([modprobe, "-q", "ip_vs"], check=False).returncode:
            return "this kernel has no IPVS"
    return None


def run(command: Command) -> int:
    """Run a command and return its exit status."""
    script = f"{PREPARE}\n{command.script()}"
    process = subprocess.Popen([*UNSHARE, "sh", "-c", script], stdin=subprocess.DEVNULL)
    try:
        status = process.wait(command.timeout)
    except subprocess.TimeoutExpired:
        print(f"rig: out of time after {command.timeout:.0f} s", file=sys.stderr)
        return OUT_OF_TIME
    finally:
        process.kill()
        process.wait()
    return status if status >= 0 else 128 - status
