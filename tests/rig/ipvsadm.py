"""The table as others see it: written and saved by ipvsadm, and read from /proc/net/ip_vs.

Both are independent of healthd's own codec, so they can say whether it told the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from tests.rig.namespace import Namespace

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Row:
    """A destination as the kernel prints it. forward: Masq, Route, Tunnel or Local."""

    forward: str
    weight: int
    active: int
    inactive: int


# "TCP 10.1.100.1:80" or "FWM 7" -> "10.2.0.11:80" -> row
Rows = dict[str, dict[str, Row]]


def endpoint(address: Address, port: int) -> str:
    """As ipvsadm and healthd write it: 10.0.0.1:80, [fd00::1]:80."""
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def apply(director: Namespace, *lines: str) -> None:
    """Feed lines of ipvsadm's to the director's table, in one process."""
    director.run("ipvsadm", "-R", text="\n".join(lines) + "\n")


def saved(director: Namespace) -> list[str]:
    """What `ipvsadm -Sn` prints, sorted."""
    return sorted(line.strip() for line in director.run("ipvsadm", "-Sn").splitlines())


def clear(director: Namespace) -> None:
    """Empty the table."""
    director.run("ipvsadm", "-C")


def rows(director: Namespace) -> Rows:
    """The table from /proc/net/ip_vs: cheap enough to be polled."""
    found: Rows = {}
    service = ""
    for line in director.read("ip_vs").splitlines()[3:]:
        words = line.split()
        if words[0] == "->":
            found[service][_endpoint(words[1])] = Row(words[2], *map(int, words[3:6]))
        else:
            service = f"{words[0]} {_endpoint(words[1]) if words[0] != 'FWM' else int(words[1], 16)}"
            found[service] = {}
    return found


def weights(director: Namespace, service: str) -> dict[str, int]:
    """Weight of each destination of a service, named as in `rows`; nothing if the service is not there."""
    return {dest: row.weight for dest, row in rows(director).get(service, {}).items()}


def _endpoint(text: str) -> str:
    """0A010064:0050 or [fd01:...]:0050, as the kernel prints them, in the usual form."""
    host, _, port = text.rpartition(":")
    address: Address = IPv6Address(host.strip("[]")) if host.startswith("[") else IPv4Address(int(host, 16))
    return endpoint(address, int(port, 16))
