"""PostgreSQL's messages of protocol 3.0, packed and read (its documentation, part "Frontend/Backend Protocol")."""

from __future__ import annotations

import re
import struct
from collections.abc import Generator, Mapping
from types import MappingProxyType
from typing import Any

from checks.sql import words
from healthd.check import CheckFailed, Reader, Reason, Step, shown

SSL_REQUEST = struct.pack(">ii", 8, 80877103)
TERMINATE = b"X\0\0\0\4"

LONGEST = 1024 * 1024
"""Most bytes of one message."""

_KINDS = b"RESKZNAv12sCDITntVWGHdc"
"""What a server may say. Whatever begins otherwise is another protocol."""

_ASIDE = (b"N", b"A", b"v")
"""Notices, notifications, and that it speaks an older minor version: nothing that we asked for."""

FACTS = frozenset(("server_version", "in_hot_standby", "default_transaction_read_only"))
"""Parameters of a session that somebody looks at."""

_LAST = re.compile(rb"FATAL|PANIC")
_CHANGED = re.compile(rb" 0*([1-9][0-9]*)\0?\Z")

OK, CLEARTEXT, MD5, SASL, SASL_MORE, SASL_LAST = 0, 3, 5, 10, 11, 12
_METHODS: Mapping[int, str] = MappingProxyType({2: "Kerberos 5", 6: "SCM credentials", 7: "GSSAPI", 9: "SSPI"})

Taken = Generator[Step, Any, tuple[bytes, bytes]]


class Refusal(Exception):
    """An ErrorResponse, for people. state: SQLSTATE. last: the server closes after it.

    after: how many statements of the same question were done before.
    """

    def __init__(self, state: str, message: str, last: bool) -> None:
        super().__init__(f"{message} ({state})")
        self.state = state
        self.last = last
        self.after = 0


def message(kind: bytes, *parts: bytes) -> bytes:
    """A message of ours."""
    body = b"".join(parts)
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def text(value: str) -> bytes:
    """A text in a message."""
    return value.encode() + b"\0"


def startup(**parameters: str) -> bytes:
    """The first message: protocol 3.0 and what the session is to be like."""
    pairs = b"".join(text(part) for pair in parameters.items() for part in pair)
    return message(b"", struct.pack(">i", 0x30000), pairs, b"\0")


def first_row_of(*queries: str) -> bytes:
    """Statements in one transaction, of whose results one row each is sent, as text.

    Parse, Bind and Execute of each, all without names, and one Sync. Where one of them is several, which that cannot
    have, all go as one text, and all their rows are sent.
    """
    if any(";" in query.rstrip("; \t\r\n") for query in queries):
        return message(b"Q", text("; ".join(queries)))
    return b"".join(map(_statement, queries)) + message(b"S")


def _statement(query: str) -> bytes:
    return b"".join(
        (
            message(b"P", b"\0", text(query), b"\0\0"),
            message(b"B", b"\0\0", b"\0\0" * 3),
            message(b"E", b"\0", struct.pack(">i", 1)),
        )
    )


def method(code: int) -> str:
    """Name of a way to log in that we do not know."""
    return _METHODS.get(code, f"number {code} out of turn")


class Messages:
    """Reads what the server says."""

    __slots__ = ("_met", "_reader")

    def __init__(self) -> None:
        self._reader = Reader(LONGEST + 1)
        self._met = False

    def any(self) -> Taken:
        """The next message: its kind and body. CheckFailed(PROTOCOL) if it is not one."""
        head = yield from self._reader.exactly(5)
        length = int.from_bytes(head[1:], "big") - 4
        if length > LONGEST and self._met:
            raise CheckFailed(Reason.PROTOCOL, f"a message is longer than {LONGEST} bytes")
        if head[0] not in _KINDS or not 0 <= length <= LONGEST:
            raise CheckFailed(Reason.PROTOCOL, f"not PostgreSQL: got {shown(head)!r}")
        return head[:1], (yield from self._reader.exactly(length))

    def next(self) -> Taken:
        """The next message that belongs to the matter. Raises Refusal for an error."""
        kind, body = yield from self.any()
        while kind in _ASIDE:
            kind, body = yield from self.any()
        if kind == b"E":
            raise refusal(body)
        return kind, body

    def authentication(self) -> Generator[Step, Any, tuple[int, bytes]]:
        """What the server asks for to let us in: a code, and what belongs to it."""
        kind, body = yield from self.next()
        code = int.from_bytes(body[:4], "big")
        if kind != b"R" or len(body) < 4 or code not in (OK, CLEARTEXT, MD5, SASL, SASL_MORE, SASL_LAST, *_METHODS):
            raise out_of_turn(kind, body)
        self._met = True
        return code, body[4:]

    def parameters(self) -> Generator[Step, Any, dict[str, str]]:
        """Facts of a new session, until it is ready; of all that a server may say, the `FACTS`."""
        found = {}
        while (got := (yield from self.next()))[0] != b"Z":
            kind, body = got
            if kind == b"S":
                name, _, value = body.partition(b"\0")
                if (fact := name.decode(errors="replace")) in FACTS:
                    found[fact] = value.rstrip(b"\0").decode(errors="replace")
            elif kind != b"K":
                raise out_of_turn(kind, body)
        return found

    def row(self, statements: int = 1) -> Generator[Step, Any, list[str | None] | None]:
        """The first row of the last statement's result, None without one, once the server is ready again.

        Of a statement that changed rows without giving them, their number stands for one. statements: how many were
        asked, at least. Raises Refusal for an error.
        """
        done = 0
        row: list[str | None] | None = None
        last: list[str | None] | None = None
        failure: Refusal | None = None
        while True:
            try:
                kind, body = yield from self.next()
            except Refusal as error:
                if error.last:
                    raise
                failure, error.after = failure or error, done
                continue
            match kind:
                case b"Z" if failure is not None:
                    raise failure
                case b"Z" if done >= statements:
                    return last
                case b"D":
                    row = columns(body) if row is None else row
                case b"C" | b"s" | b"I":
                    done, last, row = done + 1, _changed(body) if row is None and kind == b"C" else row, None
                case b"G" | b"H" | b"W":
                    raise CheckFailed(Reason.UNEXPECTED, "the query copies, and has no rows")
                case b"1" | b"2" | b"T" | b"n" | b"S":
                    pass
                case _:
                    raise out_of_turn(kind, body)


def _changed(tag: bytes) -> list[str | None] | None:
    """The number of rows that CommandComplete tells of ("UPDATE 4", "INSERT 0 1"), as a row; None if there is none."""
    count = _CHANGED.search(tag)
    return [count[1].decode()] if count else None


def refusal(body: bytes) -> Refusal:
    """What an ErrorResponse says."""
    found = {part[:1]: part[1:] for part in body.split(b"\0") if part}
    state, said = found.get(b"C", b""), found.get(b"M", b"")
    if not state or not said:
        raise CheckFailed(Reason.PROTOCOL, f"an error that cannot be read: {shown(body)!r}")
    return Refusal(shown(state), words(said), bool(_LAST.search(found.get(b"V", found.get(b"S", b"")))))


def columns(body: bytes) -> list[str | None]:
    """The values of a row as texts, None for NULL. CheckFailed(PROTOCOL) if it is malformed."""
    found: list[str | None] = []
    at, count = 2, int.from_bytes(body[:2], "big")
    while len(body) >= at + 4 and len(found) < count:
        length = int.from_bytes(body[at : at + 4], "big", signed=True)
        end = at + 4 + max(length, 0)
        if length < -1 or end > len(body):
            break
        found.append(None if length < 0 else body[at + 4 : end].decode(errors="replace"))
        at = end
    if len(body) < 2 or at != len(body) or len(found) != count:
        raise CheckFailed(Reason.PROTOCOL, f"a row that cannot be read: {shown(body)!r}")
    return found


def out_of_turn(kind: bytes, body: bytes) -> CheckFailed:
    """The failure of a server that says the wrong thing now."""
    return CheckFailed(Reason.PROTOCOL, f"PostgreSQL, but out of turn: {shown(kind)!r} with {shown(body)!r}")
