"""What a file of ldirectord means depends on the machine: names of hosts and services, and files that must be there."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Protocol

from healthd.model import Family


class Machine(Protocol):
    """What is asked of the machine while a file is read."""

    def address(self, name: str, family: Family) -> str | None:
        """First address of a host (an address is one, too), IPv6 without brackets; None if there is none."""

    def port(self, name: str, protocol: str) -> int | None:
        """Port of a service; an empty protocol stands for any. None if it is unknown."""

    def hostname(self) -> str:
        """Our own name."""

    def refuses(self, path: str) -> str:
        """Why a file cannot be written to; empty if it can."""

    def folder(self, path: str) -> bool:
        """Whether there is a folder."""

    def executable(self, path: str) -> bool:
        """Whether a file can be executed."""


class ThisMachine:
    """The machine we are on. Looking up names blocks, as it does in ldirectord."""

    def address(self, name: str, family: Family) -> str | None:
        """By getaddrinfo, first answer."""
        wanted = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
        try:
            found = socket.getaddrinfo(name.encode(errors="surrogateescape"), 0, wanted)
        except (OSError, ValueError):
            return None
        return str(found[0][4][0])

    def port(self, name: str, protocol: str) -> int | None:
        """By getservbyname."""
        try:
            return socket.getservbyname(name, protocol) if protocol else socket.getservbyname(name)
        except (OSError, ValueError):
            return None

    def hostname(self) -> str:
        """$HOSTNAME, or the node's name."""
        return os.environ.get("HOSTNAME") or os.uname().nodename

    def refuses(self, path: str) -> str:
        """Without making the file, which ldirectord does."""
        file = Path(path)
        try:
            if file.is_dir():
                return os.strerror(errno.EISDIR)
            if file.exists():
                return "" if os.access(file, os.W_OK) else os.strerror(errno.EACCES)
            file.parent.stat()
        except OSError as error:
            return error.strerror or str(error)
        except ValueError:
            return os.strerror(errno.ENOENT)
        if not path or not file.parent.is_dir():
            return os.strerror(errno.ENOTDIR if path else errno.ENOENT)
        return "" if os.access(file.parent, os.W_OK) else os.strerror(errno.EACCES)

    def folder(self, path: str) -> bool:
        """As it is now."""
        try:
            return Path(path).is_dir()
        except (OSError, ValueError):
            return False

    def executable(self, path: str) -> bool:
        """As it is now."""
        try:
            return Path(path).is_file() and os.access(path, os.X_OK)
        except (OSError, ValueError):
            return False


def port_of(text: str, protocol: str, machine: Machine) -> str | None:
    """A port by number or by name, as text; None if it is not one."""
    if text.isascii() and text.isdecimal():
        return text if int(text) < 65536 else None
    found = machine.port(text, protocol)
    return None if found is None else str(found)


def host_of(name: str, family: Family, machine: Machine) -> str | None:
    """Address of a host, IPv6 in brackets; None if it is unknown. What stands in brackets counts, if anything does."""
    inner = name[name.index("[") + 1 : name.rindex("]")] if "[" in name and "]" in name[name.index("[") :] else name
    found = machine.address(inner, family)
    return f"[{found}]" if found is not None and family is Family.IPV6 else found
