"""What memcached's two protocols put on a stream for the same few questions, and what they make of the answers.

Both dialects have the same four methods, to be used with `yield from`. All raise CheckFailed: UNEXPECTED with the
server's words for a refusal, PROTOCOL for what is not the protocol.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Generator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from healthd.check import CheckFailed, Reader, Reason, Send, Step, shown

_MOST = 65536
"""Bytes of one answer: all statistics are some 4000; a value may be a megabyte but is not wanted whole."""


def _too_long(what: str, length: int) -> NoReturn:
    raise CheckFailed(Reason.UNEXPECTED, f"{what} of {length} bytes is longer than the {_MOST} that are read")


# --- text -------------------------------------------------------------------------------------------------------

_VALUE = re.compile(rb"VALUE (\S+) \d{1,10} (\d{1,10})")
_ERROR = re.compile(rb"(ERROR|CLIENT_ERROR|SERVER_ERROR)( .*)?", re.DOTALL)


class Text:
    """The text protocol on one stream."""

    def __init__(self) -> None:
        self._reader = Reader(_MOST + 64)

    def log_in(self, user: str, password: str) -> Generator[Step, Any, None]:
        """The first `set`, of whatever key, carries the login.

        To a server without logins it is a value like any other, so it has expired before it is stored (-1).
        """
        words = f"{user} {password}".encode()
        yield Send(b"set healthd 0 -1 %d\r\n%b\r\n" % (len(words), words), password.encode())
        line = yield from self._line()
        if line != b"STORED":
            _no("login", line, "STORED")

    def version(self) -> Generator[Step, Any, bytes]:
        """The version the server tells."""
        yield Send(b"version\r\n")
        line = yield from self._line()
        if not line.startswith(b"VERSION ") or not line[8:].strip():
            _no("version", line, "VERSION")
        return line[8:]

    def stats(self) -> Generator[Step, Any, Mapping[bytes, bytes]]:
        """The general statistics by name."""
        yield Send(b"stats\r\n")
        told, length = {}, 0
        while (line := (yield from self._line())) != b"END":
            name, _, value = line.removeprefix(b"STAT ").partition(b" ")
            if not line.startswith(b"STAT ") or not name:
                _no("stats", line, "STAT or END")
            told[name] = value
            if (length := length + len(line)) > _MOST:
                _too_long("list of statistics", length)
        return told

    def value(self, key: str) -> Generator[Step, Any, bytes | None]:
        """The value of a key; None if there is none."""
        yield Send(f"get {key}\r\n".encode())
        line = yield from self._line()
        if line == b"END":
            return None
        match = _VALUE.fullmatch(line)
        if match is None or match[1] != key.encode():
            _no("get", line, f"VALUE {key}")
        if (length := int(match[2])) > _MOST:
            _too_long("value", length)
        block = yield from self._reader.exactly(length + 7)
        if not block.endswith(b"\r\nEND\r\n"):
            raise CheckFailed(Reason.PROTOCOL, f"value does not end after the {length} bytes it announces")
        return block[:-7]

    def _line(self) -> Generator[Step, Any, bytes]:
        line = yield from self._reader.until(b"\r\n")
        return line[:-2]


def _no(what: str, line: bytes, wanted: str) -> NoReturn:
    reason = Reason.UNEXPECTED if _ERROR.fullmatch(line) else Reason.PROTOCOL
    raise CheckFailed(reason, f"{what}: got {shown(line)!r}, want {wanted}")


# --- binary -----------------------------------------------------------------------------------------------------

_HEADER = struct.Struct(">BBHBBHLLQ")  # magic, opcode, key, extras, type, status, body, opaque, version of the value
_GET, _VERSION, _STAT, _SASL = 0x00, 0x0B, 0x10, 0x21
_OK, _NOT_FOUND, _AUTH_FAILED = 0x00, 0x01, 0x20
_STATUS: Mapping[int, str] = MappingProxyType(
    {
        _NOT_FOUND: "key not found",
        0x03: "value too large",
        0x04: "invalid arguments",
        _AUTH_FAILED: "authentication failed",
        0x21: "authentication must go on",
        0x81: "unknown command",
        0x82: "out of memory",
        0x83: "not supported",
        0x84: "internal error",
        0x85: "busy",
        0x86: "temporary failure",
    }
)


class Binary:
    """The binary protocol on one stream."""

    def __init__(self) -> None:
        self._reader = Reader(_MOST + 64)

    def log_in(self, user: str, password: str) -> Generator[Step, Any, None]:
        """SASL's mechanism PLAIN (RFC 4616)."""
        words = f"\0{user}\0{password}".encode()
        yield _request(_SASL, b"PLAIN", words, password.encode())
        yield from self._answer(_SASL, "login")

    def version(self) -> Generator[Step, Any, bytes]:
        """The version the server tells."""
        yield _request(_VERSION)
        _, _, value = yield from self._answer(_VERSION, "version")
        if not value.strip():
            raise CheckFailed(Reason.PROTOCOL, "version: got nothing")
        return value

    def stats(self) -> Generator[Step, Any, Mapping[bytes, bytes]]:
        """The general statistics by name."""
        yield _request(_STAT)
        told, length = {}, 0
        while (answer := (yield from self._answer(_STAT, "stats")))[1]:
            _, name, value = answer
            told[name] = value
            if (length := length + _HEADER.size + len(name) + len(value)) > _MOST:
                _too_long("list of statistics", length)
        return told

    def value(self, key: str) -> Generator[Step, Any, bytes | None]:
        """The value of a key; None if there is none."""
        yield _request(_GET, key.encode())
        status, _, value = yield from self._answer(_GET, "get", _NOT_FOUND)
        return None if status == _NOT_FOUND else value

    def _answer(self, wanted: int, what: str, *allowed: int) -> Generator[Step, Any, tuple[int, bytes, bytes]]:
        """Status, key and value of one answer. CheckFailed if its status is neither 0 nor allowed."""
        header = yield from self._reader.exactly(1)
        if header != b"\x81":
            raise CheckFailed(Reason.PROTOCOL, f"{what}: answer begins with {shown(header)!r}, want '\\x81'")
        header += yield from self._reader.exactly(_HEADER.size - 1)
        _, opcode, key, extras, _, status, body, opaque, _ = _HEADER.unpack(header)
        if opcode != wanted or opaque != wanted or key + extras > body:
            raise CheckFailed(Reason.PROTOCOL, f"{what}: answer does not belong to the question")
        if body > _MOST:
            _too_long(what, body)
        block = yield from self._reader.exactly(body)
        value = block[extras + key :]
        if status not in (_OK, *allowed):
            name = _STATUS.get(status, f"status {status}")
            raise CheckFailed(Reason.UNEXPECTED, f"{what}: {name}" + (f" ({shown(value)})" if value else ""))
        return status, block[extras : extras + key], value


def _request(opcode: int, key: bytes = b"", value: bytes = b"", hide: bytes = b"") -> Send:
    """A request, whose opaque part (any number; the answer repeats it) is its opcode."""
    header = _HEADER.pack(0x80, opcode, len(key), 0, 0, 0, len(key) + len(value), opcode, 0)
    return Send(header + key + value, hide)
