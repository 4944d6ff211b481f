"""The contract every check fulfils. This is all that a file in `checks/` may import of healthd.

A check is a frozen dataclass: its fields are its table in the configuration. Its one method, `converse`, is a generator
that says what it wants of the network (the *steps* below) and is sent what came. It never touches a socket, a clock, a
timeout, a threshold, a weight or IPVS: the engine in `healthd.prober` does all of that, once, for every protocol.

    @dataclass(frozen=True, slots=True)
    class BannerCheck:
        kind: ClassVar[str] = "banner"
        expect: str = option("", "text the first line must contain")

        def converse(self, target: Target) -> Conversation:
            yield Connect()
            line = yield from Reader().line()
            if self.expect.encode() not in line:
                raise CheckFailed(Reason.UNEXPECTED, f"got {line!r}, want {self.expect!r}")
            return line.decode("utf-8", "replace")

Returning means PASS (the text is the detail), raising `CheckFailed` means FAIL, raising `Inconclusive` means that we
could not ask. Where a step cannot be done (refused, reset, TLS failure) the engine raises `CheckFailed` *in* the
conversation; most conversations let it through.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from typing import Any, ClassVar, Protocol, runtime_checkable

from healthd.model import Address, endpoint
from healthd.option import REQUIRED as REQUIRED  # noqa: PLC0414  # handed on to checks
from healthd.option import option as option  # noqa: PLC0414  # handed on to checks
from healthd.tls import Tls as Tls  # noqa: PLC0414  # handed on to checks
from healthd.tls import tls_name as tls_name  # noqa: PLC0414  # handed on to checks


class Outcome(Enum):
    """What one probe says. INCONCLUSIVE: we could not ask, so it says nothing about the server."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Reason(Enum):
    """Why, as a closed list that logs, metrics and alerts key on. LOCAL is our own fault and always INCONCLUSIVE."""

    OK = "ok"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    PROTOCOL = "protocol"
    UNEXPECTED = "unexpected"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and from where.

    source: our address. interface: device to leave by. mark: firewall mark of our packets (SO_MARK, 1..2^32-1).
    netns: name or path of the network namespace to ask from. None leaves each to the kernel.
    """

    address: Address
    port: int
    source: Address | None = None
    interface: str | None = None
    mark: int | None = None
    netns: str | None = None

    def __str__(self) -> str:
        """Text for logs: 10.0.0.11:80."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer. weight: what a passing check asks for (0..65535), None for the configured one."""

    outcome: Outcome
    reason: Reason = Reason.OK
    detail: str = ""
    weight: int | None = None


class CheckFailed(Exception):
    """The server answered wrongly, late or not at all: FAIL with a reason (not LOCAL) and a detail for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Inconclusive(Exception):
    """We could not ask (a file of ours is missing, no descriptor left, ...): INCONCLUSIVE with a detail for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Passed:
    """What a conversation may return instead of a text when it also asks for a weight (0..65535)."""

    detail: str
    weight: int | None = None


# --- steps: what a conversation may want ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a stream to the target, with TLS at once if `tls` is given. Sent back: `Connected`.

    reuse: take the connection that the last probe of this target left with `Keep`, except on every `reuse`-th probe,
    which opens a fresh one. 0 and `fresh` always open a fresh one. server_name: name for TLS where `tls` has none.
    speaks: the very next step is a `Send`; the handshake's last packet may then wait for it, which saves one. Never
    where the server speaks first: it would hear of the connection late.
    """

    tls: Tls | None = None
    server_name: str | None = None
    reuse: int = 0
    fresh: bool = False
    speaks: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """reused: the stream was kept from an earlier probe. tls: facts of the handshake, None without TLS."""

    reused: bool = False
    tls: TlsFacts | None = None


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What a handshake told. days_left: whole days until the certificate expires (negative: it has)."""

    version: str
    cipher: str
    alpn: str | None
    days_left: int | None
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class StartTls:
    """Speak TLS on the open stream from here on. Sent back: `TlsFacts`."""

    tls: Tls
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Aside:
    """Open a second stream beside the open one and turn to it: what follows goes there. Sent back: `Connected`.

    It leads to another port (1..65535) of the target's address and never to another address, whatever a server says,
    and leaves from where the first does. The first stays open; what comes there waits for `Turn`. TLS begins with
    `StartTls` and resumes the first one's session, as many FTP servers demand (RFC 4217). There is one stream aside
    at a time; where it cannot be opened, it is as if it had not been asked for.
    """

    port: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn to the other one of two streams (see `Aside`). Sent back: None.

    close: turn to the first and close the one aside, politely, which some servers wait for.
    """

    close: bool = False


@dataclass(frozen=True, slots=True)
class Datagram:
    """Open a datagram conversation; `Send` and `Receive` are then whole datagrams.

    own_port: take a fresh source port. False lets the engine send from a socket it shares between conversations, which
    is cheaper but only right where the conversation knows its own answers from others (as DNS does by id and question):
    it is sent every datagram of the target's address and port, and must ignore what is not its own.
    """

    own_port: bool = True


@dataclass(frozen=True, slots=True)
class Send:
    """Send all of `data`. Sent back: None.

    hide: the part of it that no transcript may show, such as a password, nor where the server repeats it. What a check
    itself tells of an answer is its own business.
    """

    data: bytes
    hide: bytes = b""


@dataclass(frozen=True, slots=True)
class Finish:
    """Say that nothing more will be sent on the open stream (a half-close: FIN), and go on receiving. Sent back: None.

    Not on a stream with TLS: many servers take its close_notify for the end of both directions (RFC 8446, 6.1).
    """


@dataclass(frozen=True, slots=True)
class Whence:
    """Ask for our own end of the open stream or datagram conversation. Sent back: `Endpoint`.

    Not on a shared socket (`Datagram.own_port` false), which has no address of its own.
    """


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address and port of one end of a conversation."""

    address: Address
    port: int

    def __str__(self) -> str:
        """Text as in a URL: 10.0.0.11:80, [2001:db8::1]:80."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for data. Sent back: 1 to `limit` bytes of the stream as they come, b"" at its end; or one datagram.

    optional: silence until the deadline is an answer too, sent back as None; the conversation must end then.
    """

    limit: int = 65536
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """The stream may serve the next probe if this one passes (see `Connect.reuse`). Sent back: None."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Send one ICMP echo request with `payload` and wait for its reply. Sent back: the reply's payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program in the runner process. Sent back: `Ran`.

    argv: argv[0] is the path of an executable. env: variables besides a minimal fixed set. user: whom to run it as,
    None for the runner's own. netns: network namespace to run it in. output_limit: bytes of output to keep (the last).
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    netns: str | None = None
    output_limit: int = 4096


@dataclass(frozen=True, slots=True)
class Ran:
    """status: exit code 0..255, or minus the number of the signal that ended it. output: end of stdout and stderr."""

    status: int
    output: bytes


Step = Connect | StartTls | Aside | Turn | Datagram | Send | Finish | Whence | Receive | Keep | Echo | Run
Conversation = Generator[Step, Any, str | Passed]


@runtime_checkable
class Check(Protocol):
    """A frozen, hashable dataclass; equal checks of equal targets are one probe.

    A class to which the target's port means nothing says so with `needs_port: ClassVar[bool] = False`; others are not
    let near a port 0, which servers behind a firewall mark have unless the configuration names one for the check.
    """

    kind: ClassVar[str]

    def converse(self, target: Target) -> Conversation:
        """Ask once. Return a detail (or `Passed`) to pass; raise `CheckFailed` or `Inconclusive` otherwise."""
        ...


@runtime_checkable
class AsyncCheck(Protocol):
    """A check whose library insists on its own I/O. It is cancelled at the deadline and must let that through."""

    kind: ClassVar[str]

    async def probe(self, target: Target) -> str | Passed:
        """Ask once, as `Check.converse` does."""
        ...


@dataclass(frozen=True, slots=True)
class Binding:
    """The row a check is for: virtual address text or decimal firewall mark, virtual port (0 for a mark), real."""

    service: str
    virtual: str
    virtual_port: int
    address: Address
    port: int


@runtime_checkable
class BoundCheck(Protocol):
    """A check that depends on the row it is for, as a script does that is told the virtual address."""

    def bound(self, binding: Binding) -> Check | AsyncCheck:
        """The same check for one row."""
        ...


# --- reading ----------------------------------------------------------------------------------------------------


class Reader:
    """Cuts a stream into lines and blocks, for use with `yield from`. limit: most bytes it will hold."""

    __slots__ = ("buffer", "limit")

    def __init__(self, limit: int = 65536) -> None:
        self.buffer = bytearray()
        self.limit = limit

    def more(self) -> Generator[Step, Any, bool]:
        """Wait for more; False at the end of the stream. CheckFailed(PROTOCOL) beyond the limit."""
        if len(self.buffer) >= self.limit:
            raise CheckFailed(Reason.PROTOCOL, f"answer is longer than {self.limit} bytes")
        data: bytes = yield Receive(self.limit - len(self.buffer))
        self.buffer += data
        return bool(data)

    def until(self, mark: bytes) -> Generator[Step, Any, bytes]:
        """All up to and including `mark`. CheckFailed(PROTOCOL) if the stream ends before."""
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            if not (yield from self.more()):
                raise CheckFailed(Reason.PROTOCOL, f"connection closed {self._after()}")
        return self._cut(at + len(mark))

    def line(self) -> Generator[Step, Any, bytes]:
        """One line without its end (LF or CRLF). CheckFailed(PROTOCOL) if the stream ends before."""
        line = yield from self.until(b"\n")
        return line.rstrip(b"\r\n")

    def exactly(self, count: int) -> Generator[Step, Any, bytes]:
        """Exactly `count` bytes. CheckFailed(PROTOCOL) if the stream ends before."""
        while len(self.buffer) < count:
            if not (yield from self.more()):
                raise CheckFailed(Reason.PROTOCOL, f"connection closed {self._after()}, {count} expected")
        return self._cut(count)

    def _after(self) -> str:
        return f"after {len(self.buffer)} bytes" if self.buffer else "without an answer"

    def _cut(self, count: int) -> bytes:
        block = bytes(self.buffer[:count])
        del self.buffer[:count]
        return block


def shown(data: bytes, most: int = 60) -> str:
    """Bytes of a peer as one short printable text for a detail."""
    text = data.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= most else text[: most - 3] + "..."


def address_text(address: Address) -> str:
    """Address as scripts and URLs write it: IPv6 in brackets."""
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
