"""Network namespaces as Python values: sockets and processes inside them, without forking `ip netns exec`.

The namespace of a thread is its own, so a short-lived thread goes there (setns(2), 0.5 ms), makes the socket or starts
the process, and ends; what it made stays in the namespace and may be used from anywhere.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*lines: str, namespace: str | None = None) -> None:
    """Run lines of `ip`, all in one process. Raises AssertionError with what it said."""
    argv = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    done = subprocess.run(argv, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip: {done.stderr.strip()}"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace with a name below /run/netns."""

    name: str

    @property
    def path(self) -> Path:
        """Where it can be opened."""
        return Path("/run/netns") / self.name

    @classmethod
    def create(cls, name: str) -> Namespace:
        """Make a new one, with its loopback up and without waiting for IPv6's duplicate address detection."""
        ip(f"netns add {name}")
        made = cls(name)
        made.sysctl("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
        made.ip("link set lo up")
        return made

    def delete(self) -> None:
        """Take its name away; it ends with its last process and socket."""
        ip(f"netns del {self.name}")

    def ip(self, *lines: str) -> None:
        """Run lines of `ip` inside."""
        ip(*lines, namespace=self.name)

    def call(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Call a function on a thread that is inside; returns or raises what it does."""
        results: list[Result] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                self._enter()
                results.append(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  handed to the caller
                errors.append(error)

        thread = threading.Thread(target=inside, name=f"in-{self.name}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def _enter(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if LIBC.setns(descriptor, CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), str(self.path))
        finally:
            os.close(descriptor)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A socket of this namespace, usable from any thread."""
        return self.call(socket.socket, family, kind, protocol)

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program inside."""
        return self.call(subprocess.Popen, list(argv), **options)

    def run(self, *argv: str, text: str | None = None) -> str:
        """Run a program inside and return what it printed. Raises AssertionError if it fails."""
        done = self.call(subprocess.run, argv, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}"
        return done.stdout

    def read(self, below_proc_net: str) -> str:
        """A file of the namespace's /proc/net."""
        return self.call(Path("/proc/thread-self/net", below_proc_net).read_text)

    def sysctl(self, *settings: str) -> None:
        """Write settings of the form net.ipv4.ip_forward=1."""

        def write() -> None:
            for setting in settings:
                name, _, value = setting.partition("=")
                Path("/proc/sys", name.replace(".", "/")).write_text(value)

        self.call(write)
