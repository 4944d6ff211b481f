"""Clients of the rig: what a user of the virtual service would do, from the client's namespace."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import dns.message
import dns.rdatatype

from tests.rig.namespace import Namespace
from tests.rig.patience import seconds, until
from tests.rig.servers import IPPROTO_SCTP

Address = IPv4Address | IPv6Address


def connect(
    client: Namespace,
    address: Address,
    port: int,
    *,
    source: Address | None = None,
    protocol: int = 0,
    within: float | None = None,
) -> socket.socket:
    """Open a connection to a virtual service, within so many seconds. Raises OSError as the system call does."""
    made = client.socket(_family(address), socket.SOCK_STREAM, protocol)
    try:
        made.settimeout(within or seconds(5))
        if source is not None:
            made.bind((str(source), 0))
        made.connect((str(address), port))
    except BaseException:
        made.close()
        raise
    return made


def ask(client: Namespace, address: Address, port: int, *, sctp: bool = False) -> str:
    """Connect and read until the other side hangs up."""
    with connect(client, address, port, protocol=IPPROTO_SCTP if sctp else 0) as connection:
        return _rest(connection).decode()


def ask_datagram(client: Namespace, address: Address, port: int, *, source_port: int = 0) -> str:
    """Send a datagram and return the answer, which must come from where we sent it."""
    with client.socket(_family(address), socket.SOCK_DGRAM) as asking:
        asking.settimeout(seconds(5))
        asking.bind(("", source_port))
        asking.connect((str(address), port))
        asking.send(b"?")
        return asking.recv(2048).decode()


def get(
    client: Namespace, address: Address, path: str = "/who", port: int = 80, *, source: Address | None = None
) -> tuple[int, str]:
    """GET by HTTP/1.0 on a connection of its own: status and body."""
    with connect(client, address, port, source=source) as connection:
        connection.sendall(_request(path))
        head, _, body = _rest(connection).partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()


def who(client: Namespace, address: Address, port: int = 80, *, source: Address | None = None) -> str:
    """The name of the nginx that answers, or what stopped it: refused, reset, timeout, 404."""
    try:
        status, body = get(client, address, port=port, source=source)
    except ConnectionRefusedError:
        return "refused"
    except (ConnectionError, IndexError):  # nothing at all came: closed before the answer
        return "reset"
    except TimeoutError:
        return "timeout"
    return body.strip() if status == 200 else str(status)


def resolve(client: Namespace, address: Address, name: str = "who.rig.test", kind: str = "TXT") -> str:
    """Ask a name server by UDP; the records' text, or the name of the error code."""
    query = dns.message.make_query(name, kind)
    with client.socket(_family(address), socket.SOCK_DGRAM) as asking:
        asking.settimeout(seconds(5))
        asking.connect((str(address), 53))
        asking.send(query.to_wire())
        answer = dns.message.from_wire(asking.recv(4096))
    assert answer.id == query.id
    texts = [record.to_text().strip('"') for rrset in answer.answer for record in rrset]
    return " ".join(texts) or dns.rcode.to_text(answer.rcode())


def shares(times: int, question: Callable[[], str]) -> dict[str, int]:
    """How often each answer came in so many questions."""
    return dict(Counter(question() for _ in range(times)))


class Download:
    """A GET of /slow that is under way in a thread of its own, while a test does other things."""

    def __init__(self, client: Namespace, address: Address, port: int = 80) -> None:
        self.received = 0
        self.error: OSError | None = None
        self._connection = connect(client, address, port)
        self._connection.sendall(_request("/slow"))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        until("the download has begun", lambda: self.received)

    def _read(self) -> None:
        try:
            while data := self._connection.recv(65536):
                self.received += len(data)
        except OSError as error:
            self.error = error

    def goes_on(self) -> None:
        """Wait until more has come. Raises AssertionError if nothing does."""
        before = self.received
        until("the download goes on", lambda: self.received > before)

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.0\r\nHost: rig.test\r\n\r\n".encode()


def _rest(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
