"""Small real servers on loopback that behave, or misbehave in one way each.

Every server runs in threads of this process on a free port, and ends with its `with` block.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from healthd.check import Target

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

Handler = Callable[[socket.socket], None]


class Server:
    """A TCP server that runs `handler` in a thread for each connection, and closes it after that.

    connections: what was accepted. accepted: how many. errors: what handlers raised, other than OSError.
    """

    def __init__(self, handler: Handler, family: int = socket.AF_INET, backlog: int = 128) -> None:
        self.handler = handler
        self.accepted = 0
        self.connections: list[socket.socket] = []
        self.errors: list[BaseException] = []
        self.over = threading.Event()
        self._listener = socket.create_server((LOOPBACK[family], 0), family=family, backlog=backlog)
        self.address, self.port = self._listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def target(self) -> Target:
        """Itself, to be asked."""
        return Target(ip_address(self.address), self.port)

    def close(self) -> None:
        """Stop listening and close all connections."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.connections.append(connection)
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        try:
            self.handler(connection)
        except OSError:
            pass
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                connection.close()


@contextlib.contextmanager
def serving(handler: Handler, family: int = socket.AF_INET, backlog: int = 128) -> Iterator[Server]:
    """A server for the length of a `with` block."""
    server = Server(handler, family, backlog)
    try:
        yield server
    finally:
        server.close()
    assert not server.errors, server.errors


def line_of(connection: socket.socket) -> bytes:
    """One line, without more than it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return line
        line += byte
    return line


# --- handlers ---------------------------------------------------------------------------------------------------


def echo_lines(connection: socket.socket) -> None:
    """Send every line back."""
    while line := line_of(connection):
        connection.sendall(line)


def accept_only(connection: socket.socket) -> None:
    """Say nothing, read nothing, and never close by itself."""
    del connection
    threading.Event().wait(60)


def silent(connection: socket.socket) -> None:
    """Read, and never answer."""
    while connection.recv(4096):
        pass


def drip(connection: socket.socket) -> None:
    """Answer a line one byte at a time."""
    for byte in b"slow but right\n":
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.01)


def reset_in_answer(connection: socket.socket) -> None:
    """Begin an answer and reset the connection."""
    line_of(connection)
    connection.sendall(b"half an ans")
    reset(connection)


def reset(connection: socket.socket) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_line(connection: socket.socket) -> None:
    """Close in the middle of a line."""
    line_of(connection)
    connection.sendall(b"half an ans")


def junk(connection: socket.socket) -> None:
    """Bytes that mean nothing."""
    connection.sendall(bytes(range(256)) * 4)


def endless(connection: socket.socket) -> None:
    """An answer without an end."""
    block = b"x" * 65536
    while True:
        connection.sendall(block)


def close_at_once(connection: socket.socket) -> None:
    """Close without a word."""
    del connection


def no_reader(connection: socket.socket) -> None:
    """Take nothing: what is sent piles up."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    threading.Event().wait(60)


def over_tls(context: ssl.SSLContext, handler: Handler) -> Handler:
    """A handler behind TLS."""

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            handler(secured)

    return handle


def start_tls_after(line: bytes, context: ssl.SSLContext, handler: Handler) -> Handler:
    """A handler that switches to TLS after it was sent `line` and has answered "go"."""

    def handle(connection: socket.socket) -> None:
        assert line_of(connection) == line
        connection.sendall(b"go\n")
        over_tls(context, handler)(connection)

    return handle


# --- servers that are not there ---------------------------------------------------------------------------------


def refusing(family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> Target:
    """A loopback address and port where nobody listens."""
    with socket.socket(family, kind) as sock:
        sock.bind((LOOPBACK[family], 0))
        address, port = sock.getsockname()[:2]
    return Target(ip_address(address), port)


@contextlib.contextmanager
def black_hole(family: int = socket.AF_INET) -> Iterator[Target]:
    """An address whose accept queue is full, so that the kernel drops every SYN."""
    with socket.socket(family, socket.SOCK_STREAM) as listener, contextlib.ExitStack() as stack:
        listener.bind((LOOPBACK[family], 0))
        listener.listen(0)
        address, port = listener.getsockname()[:2]
        for _ in range(4):
            filler = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield Target(ip_address(address), port)


class Datagrams:
    """A UDP server that gives each datagram to `answer` and sends back what that returns."""

    def __init__(self, answer: Callable[[bytes], list[bytes]], family: int = socket.AF_INET) -> None:
        self._answer = answer
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK[family], 0))
        self.address, self.port = self._socket.getsockname()[:2]
        self.ports: list[int] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def target(self) -> Target:
        """Itself, to be asked."""
        return Target(ip_address(self.address), self.port)

    def close(self) -> None:
        """Stop."""
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", (self.address, self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(65536)
            if not data:
                return
            self.ports.append(peer[1])
            for answer in self._answer(data):
                self._socket.sendto(answer, peer)


@contextlib.contextmanager
def answering(answer: Callable[[bytes], list[bytes]], family: int = socket.AF_INET) -> Iterator[Datagrams]:
    """A UDP server for the length of a `with` block."""
    server = Datagrams(answer, family)
    try:
        yield server
    finally:
        server.close()
