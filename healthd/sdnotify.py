"""Telling the service manager how we are: sd_notify(3), without its library.

The functions give the text of a notification; `Notifier` sends it to $NOTIFY_SOCKET, or nowhere if nobody listens. A
notification that cannot be sent is no reason for anything: the daemon goes on.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

WATCHDOG = "WATCHDOG=1"


def ready(status: str = "") -> str:
    """Started, or reloaded."""
    return _lines("READY=1", status)


def status(text: str) -> str:
    """One line for `systemctl status`."""
    return _status(text)


def reloading(monotonic: float, status: str = "") -> str:
    """The configuration is being read again, since `monotonic` seconds of CLOCK_MONOTONIC; `ready` ends it.

    Type=notify-reload wants the time with it, in the same message.
    """
    return _lines(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic * 1_000_000)}", status)


def stopping(status: str = "") -> str:
    """About to end."""
    return _lines("STOPPING=1", status)


def extend_timeout(seconds: float) -> str:
    """Starting, reloading or stopping takes this much longer from now on."""
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two WATCHDOG notifications: half of what the manager allows; None if it does not watch `pid`."""
    try:
        microseconds = int(environ["WATCHDOG_USEC"])
        watched = int(environ.get("WATCHDOG_PID", pid))
    except (KeyError, ValueError):
        return None
    return microseconds / 2_000_000 if microseconds > 0 and watched == pid else None


class Notifier:
    """Sends notifications to a socket. address: as in $NOTIFY_SOCKET ("@" begins an abstract one); None sends nothing.

    clock: seconds of CLOCK_MONOTONIC.
    """

    def __init__(self, address: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._address = _address(address or "")
        self._socket: socket.socket | None = None

    @classmethod
    def of_environment(cls) -> Notifier:
        """For the manager that started us, if one did."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def ready(self, status: str = "") -> None:
        """As `ready`."""
        self.send(ready(status))

    def status(self, text: str) -> None:
        """As `status`."""
        self.send(_status(text))

    def reloading(self, status: str = "") -> None:
        """As `reloading`, now."""
        self.send(reloading(self._clock(), status))

    def stopping(self, status: str = "") -> None:
        """As `stopping`."""
        self.send(stopping(status))

    def alive(self) -> None:
        """For the watchdog."""
        self.send(WATCHDOG)

    def send(self, text: str) -> None:
        """Send a notification if somebody listens. Never waits, never fails."""
        if not self._address:
            return
        with suppress(OSError):
            self._open().sendto(text.encode("utf-8", "replace"), self._address)

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        if self._socket is None:
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_UNIX, kind)
        return self._socket


def _address(text: str) -> str:
    """Only paths and abstract names are known to us; anything else (vsock:, ...) is for others."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())


def _lines(first: str, status: str) -> str:
    return f"{first}\n{_status(status)}" if status else first
