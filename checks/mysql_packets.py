"""Packets of MySQL's client/server protocol, written and read (its "Source Code Documentation", and MariaDB's)."""

from __future__ import annotations

import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from checks.sql import words
from healthd.check import CheckFailed, Reader, Reason, Send, Step, shown

LONG_PASSWORD, FOUND_ROWS, WITH_DATABASE, PROTOCOL_41, SSL = 0x1, 0x2, 0x8, 0x200, 0x800
TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PLUGIN_AUTH = 0x2000, 0x8000, 0x20000, 0x80000

LONGEST = 1024 * 1024
"""Most bytes of one packet; as much again of what follows the first row is read to hear how it ends."""

_UTF8MB4 = 45
_MORE = 0x0008
_MASK = b"5.5.5-"  # what MariaDB puts before its version, for clients that cannot count beyond 9
_MOST_COLUMNS = 4096
_OK, _LOCAL_FILE, _EOF, _ERROR = 0x00, 0xFB, 0xFE, 0xFF
_QUERY, _QUIT = b"\x03", b"\x01"

Talk = Generator[Step, Any, Any]


class Refusal(Exception):
    """An error packet, for people. code: MySQL's number. state: SQLSTATE, "" before there is a session."""

    def __init__(self, code: int, state: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.state = state


@dataclass(frozen=True, slots=True)
class Greeting:
    """A server's first packet. scramble: what passwords are mixed with. plugin: how it would like to log in."""

    version: str
    capabilities: int
    scramble: bytes
    plugin: str


class Packets:
    """Reads and writes packets, and counts them: each side's number must be the next one."""

    __slots__ = ("_left", "_reader", "_turn")

    def __init__(self) -> None:
        self._reader = Reader(LONGEST + 4)
        self._turn = 0
        self._left = 0

    def first(self) -> Generator[Step, Any, Greeting]:
        """The server's greeting. CheckFailed(PROTOCOL) if it is none; Refusal if it turns us away instead."""
        head = yield from self._reader.exactly(4)
        length = int.from_bytes(head[:3], "little")
        if head[3] or not 3 <= length <= 1024:
            raise CheckFailed(Reason.PROTOCOL, f"not MySQL: got {shown(head)!r}")
        self._turn = 1
        body = yield from self._reader.exactly(length)
        if body[0] == _ERROR:
            raise refusal(body)
        return greeting(body)

    def next(self) -> Generator[Step, Any, bytes]:
        """The next packet's body, not empty. CheckFailed(PROTOCOL) if it is out of turn or too long; Refusal."""
        head = yield from self._reader.exactly(4)
        length = int.from_bytes(head[:3], "little")
        if head[3] != self._turn:
            raise CheckFailed(Reason.PROTOCOL, f"packet number {head[3]}, want {self._turn}")
        if not 0 < length <= LONGEST:
            raise CheckFailed(Reason.PROTOCOL, f"a packet of {length} bytes, want 1 to {LONGEST}")
        self._turn = (self._turn + 1) % 256
        body = yield from self._reader.exactly(length)
        if body[0] == _ERROR:
            raise refusal(body)
        return body

    def send(self, body: bytes, hide: bytes = b"") -> Talk:
        """Answer with a packet. hide: as of `Send`."""
        yield Send(len(body).to_bytes(3, "little") + bytes((self._turn,)) + body, hide)
        self._turn = (self._turn + 1) % 256

    def quiet(self) -> bool:
        """Whether nothing has come that was not read."""
        return not self._reader.buffer

    def ask(self, query: str) -> Generator[Step, Any, list[str | None] | None]:
        """The first row of a query's first result as texts, None without one. Refusal for an error.

        Of a statement that found rows to change, their number stands for one. The rest is read, too, as far as it is
        not longer than `LONGEST`: a query may fail after its first row.
        """
        self._turn, self._left = 0, LONGEST
        yield from self.send(_QUERY + query.encode())
        row, more = yield from self._result()
        while more:
            _, more = yield from self._result()
        return row

    def quit(self) -> Talk:
        """Say good-bye, where the server is not still talking; it only closes."""
        if self._left >= 0:
            self._turn = 0
            yield from self.send(_QUIT)

    def _result(self) -> Generator[Step, Any, tuple[list[str | None] | None, bool]]:
        """The first row of one result, None without one, and whether another result follows (of CALL)."""
        body = yield from self.next()
        if body[0] == _OK:
            changed, at = number(body, 1)
            return [str(changed)] if changed else None, bool(_status(body, number(body, at)[1]) & _MORE)
        if body[0] == _LOCAL_FILE:
            raise CheckFailed(Reason.UNEXPECTED, "the query asks for a file of ours")
        count, at = number(body, 0)
        if at != len(body) or not 0 < count <= _MOST_COLUMNS:
            raise malformed("a number of columns", body)
        for _ in range(count):
            yield from self.next()
        if not is_end(body := (yield from self.next())):
            raise malformed("an end of columns", body)
        row: list[str | None] | None = None
        while not is_end(body := (yield from self.next())):
            self._left -= 0 if row is None else len(body) + 4
            row = row or columns(body, count)
            if self._left < 0:
                return row, False
        return row, bool(_status(body, 3) & _MORE)


def greeting(body: bytes) -> Greeting:
    """What HandshakeV10 says. CheckFailed(PROTOCOL) if it is something else."""
    if body[0] != 10:
        raise CheckFailed(Reason.PROTOCOL, f"not MySQL, or older than 3.21: protocol {body[0]}, want 10")
    version, zero, rest = body[1:].partition(b"\0")
    if not zero or len(rest) < 31:
        raise malformed("a greeting", body)
    low, _charset, _status, high, length = struct.unpack_from("<HBHHB", rest, 13)
    capabilities = low | high << 16
    if not capabilities & PROTOCOL_41 or not capabilities & SECURE_CONNECTION:
        raise CheckFailed(Reason.PROTOCOL, "the server does not speak the protocol of MySQL 4.1 and later")
    end = 31 + max(13, length - 8)
    scramble = rest[4:12] + rest[31:end].removesuffix(b"\0")
    plugin = rest[end:].partition(b"\0")[0] if capabilities & PLUGIN_AUTH else b"mysql_native_password"
    if len(scramble) != 20:
        raise malformed("a greeting", body)
    return Greeting(shown(version.removeprefix(_MASK)), capabilities, scramble, shown(plugin))


def tls_request(capabilities: int) -> bytes:
    """SSLRequest: the beginning of a login, up to where it becomes secret."""
    return struct.pack("<IIB23x", capabilities, 0x1000000, _UTF8MB4)


def login(capabilities: int, user: str, proof: bytes, database: str | None, plugin: str) -> bytes:
    """HandshakeResponse41."""
    parts = [tls_request(capabilities), user.encode(), b"\0", bytes((len(proof),)), proof]
    if database is not None:
        parts += [database.encode(), b"\0"]
    if capabilities & PLUGIN_AUTH:
        parts += [plugin.encode(), b"\0"]
    return b"".join(parts)


def refusal(body: bytes) -> Refusal:
    """What an error packet says."""
    code, text = int.from_bytes(body[1:3], "little"), body[3:]
    state = ""
    if text[:1] == b"#":
        state, text = shown(text[1:6]), text[6:]
    if not code or not text:
        raise malformed("an error", body)
    return Refusal(code, state, words(text))


def _status(body: bytes, at: int) -> int:
    if len(body) < at + 2:
        raise malformed("a result", body)
    return int.from_bytes(body[at : at + 2], "little")


def is_end(body: bytes) -> bool:
    """Whether this is an EOF packet; a row that begins with the same byte is longer."""
    return body[0] == _EOF and len(body) < 9


def columns(body: bytes, count: int) -> list[str | None]:
    """The values of a row as texts, None for NULL. CheckFailed(PROTOCOL) if it is malformed."""
    found: list[str | None] = []
    at = 0
    for _ in range(count):
        if body[at : at + 1] == b"\xfb":
            found.append(None)
            at += 1
            continue
        length, at = number(body, at)
        if at + length > len(body):
            raise malformed("a row", body)
        found.append(body[at : at + length].decode(errors="replace"))
        at += length
    if at != len(body):
        raise malformed("a row", body)
    return found


def number(body: bytes, at: int) -> tuple[int, int]:
    """A length-encoded number at a place, and where what follows it begins."""
    first = body[at] if at < len(body) else _ERROR
    if first < _LOCAL_FILE:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not size or at + 1 + size > len(body):
        raise malformed("a length", body)
    return int.from_bytes(body[at + 1 : at + 1 + size], "little"), at + 1 + size


def malformed(what: str, body: bytes) -> CheckFailed:
    """The failure of a server whose packet cannot be read."""
    return CheckFailed(Reason.PROTOCOL, f"{what} that cannot be read: {shown(body)!r}")
