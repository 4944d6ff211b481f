"""What the daemon tells systemd (sd_notify(3)): ready, reloading, stopping, alive. Says nothing where nobody listens.

The texts are functions of their arguments; `tell` alone sends. A lost message is never worth dying for.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def ready(status: str) -> str:
    """Start-up, or a reload, is complete."""
    return f"READY=1\n{_status(status)}"


def alive(status: str) -> str:
    """The watchdog may rest; the status line is this."""
    return f"WATCHDOG=1\n{_status(status)}"


def reloading(now: float) -> str:
    """A reload begins. now: seconds of CLOCK_MONOTONIC."""
    return f"RELOADING=1\nMONOTONIC_USEC={int(now * 1e6)}"


def stopping() -> str:
    """The daemon stops."""
    return "STOPPING=1"


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())


def watchdog_interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants to hear that this process is alive; None if it does not care."""
    pid = environment.get("WATCHDOG_PID")
    if pid is not None and pid != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) > 0 else None


def tell(message: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a message to systemd, if this process was started by it. True if it was sent."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    path = "\0" + address[1:] if address[0] == "@" else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        try:
            sock.sendto(message.encode(), path)
        except OSError:
            return False
    return True
