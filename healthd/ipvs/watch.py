"""What happens to links, addresses and neighbours of the director, as it happens.

Only a hint: whoever hears it probes or reads again, and decides from that. So nothing is lost for good if the kernel
had to drop messages: that is itself a `LookAgain`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.namespace import NamespaceMissing, in_namespace
from healthd.model import Address

GROUP_LINK, GROUP_NEIGHBOUR, GROUP_IPV4_ADDRESS, GROUP_IPV6_ADDRESS = 0x1, 0x4, 0x10, 0x100
GROUPS = GROUP_LINK | GROUP_NEIGHBOUR | GROUP_IPV4_ADDRESS | GROUP_IPV6_ADDRESS
NUD_FAILED = 0x20
IFF_UP, IFF_RUNNING = 0x1, 0x40
SO_RCVBUFFORCE = 33
BUFFER = 4 << 20


@dataclass(frozen=True, slots=True)
class LinkChange:
    """An interface came up, went down or went away (then it is not up either). index: the kernel's number of it."""

    name: str
    index: int
    up: bool


@dataclass(frozen=True, slots=True)
class AddressChange:
    """An address was added to an interface (or renewed), or removed from it."""

    address: Address
    index: int
    present: bool


@dataclass(frozen=True, slots=True)
class NeighbourFailed:
    """Nobody answers for this address on its link (NUD_FAILED)."""

    address: Address
    index: int


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Changes were missed: what is known of links, addresses and neighbours may be out of date."""


Change = LinkChange | AddressChange | NeighbourFailed | LookAgain


async def watch(netns: str | None = None, *, receive_buffer: int = BUFFER) -> AsyncGenerator[Change, None]:
    """All changes from now on, until the iterator is closed or its task is cancelled.

    netns: as for KernelTable. receive_buffer: bytes that the kernel may queue for us. Raises TableUnavailable if
    there is no such namespace or it may not be entered.
    """
    links = _Links()
    missed = False
    while True:
        async with _listening(netns, receive_buffer) as route:
            if missed:
                yield LookAgain()
            async with aclosing(_messages(route)) as messages:
                async for message in messages:
                    for change in _changes(message, links):
                        yield change
        missed = True


@asynccontextmanager
async def _listening(netns: str | None, receive_buffer: int) -> AsyncIterator[Any]:
    """pyroute2's AsyncIPRoute on a socket of its own, subscribed."""
    from pyroute2 import AsyncIPRoute

    with await _socket(netns, receive_buffer) as sock:
        async with AsyncIPRoute(use_socket=sock) as route:
            await route.bind(GROUPS)
            yield route


async def _socket(netns: str | None, receive_buffer: int) -> socket.socket:
    try:
        sock = await in_namespace(netns, _open)
    except (NamespaceMissing, PermissionError) as error:
        raise TableUnavailable(str(error)) from error
    with suppress(PermissionError):  # then the kernel's default: LookAgain comes sooner
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer)
    return sock


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)


async def _messages(route: Any) -> AsyncGenerator[Mapping[str, Any], None]:
    """Decoded messages, until the kernel had to drop some; pyroute2's object is used up then."""
    while True:
        try:
            async with aclosing(route.get()) as batch:
                async for message in batch:
                    yield message
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return


@dataclass(slots=True)
class _Links:
    """What was last said of each interface: the kernel repeats itself whenever any detail changes."""

    known: dict[int, LinkChange] = field(default_factory=dict)

    def change(self, message: Mapping[str, Any]) -> LinkChange | None:
        """The change that a message is, or None if it says nothing new."""
        gone = message["event"] == "RTM_DELLINK"
        up = not gone and message["flags"] & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING
        said = LinkChange(_attribute(message, "IFLA_IFNAME") or "", message["index"], up)
        if self.known.get(said.index) == said and not gone:
            return None
        self.known[said.index] = said
        if gone:
            del self.known[said.index]
        return said


def _changes(message: Mapping[str, Any], links: _Links) -> list[Change]:
    change: Change | None = None
    match message.get("event"):
        case "RTM_NEWLINK" | "RTM_DELLINK":
            change = links.change(message)
        case "RTM_NEWADDR" | "RTM_DELADDR":
            text = _attribute(message, "IFA_LOCAL") or _attribute(message, "IFA_ADDRESS")
            change = AddressChange(ip_address(text), message["index"], message["event"] == "RTM_NEWADDR")
        case "RTM_NEWNEIGH" if message["state"] & NUD_FAILED and _attribute(message, "NDA_DST"):
            change = NeighbourFailed(ip_address(_attribute(message, "NDA_DST")), message["ifindex"])
    return [] if change is None else [change]


def _attribute(message: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in message["attrs"] if key == name), None)
