"""sip: a SIP server answers OPTIONS (RFC 3261, 11) over UDP, TCP or TLS.

An answer is ours by the branch of its topmost Via, Call-ID, CSeq and the tag of From (17.1.3, 8.1.3); whatever else
comes is passed over. Nothing is sent twice within one probe: the next probe is the next try.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Any, ClassVar

from checks.rules import between, number_list, numbers
from healthd.check import (
    CheckFailed,
    Connect,
    Conversation,
    Datagram,
    Endpoint,
    Reader,
    Reason,
    Receive,
    Send,
    Step,
    Target,
    Tls,
    Whence,
    option,
    shown,
)

_MOST = 65535
"""Bytes of one message: what fits into a datagram."""

_MESSAGES = 100
"""Messages that are not the answer until we do not believe that there will be one."""

_FINAL = 200
"""The least status that is no provisional one."""

_STATUS_LINE = re.compile(rb"SIP/2\.0 ([1-6]\d\d)(?: (.*))?", re.IGNORECASE | re.DOTALL)
_REQUEST_LINE = re.compile(rb"[!-~]+ [!-~]+ SIP/2\.0", re.IGNORECASE)
_COMPACT: Mapping[str, str] = MappingProxyType(
    {"v": "via", "f": "from", "t": "to", "i": "call-id", "l": "content-length", "m": "contact"}
)
_BRANCH = re.compile(r";\s*branch\s*=\s*([^\s;,]+)", re.IGNORECASE)
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,]+)", re.IGNORECASE)
_CSEQ = re.compile(r"0*1\s+OPTIONS")
_URI = re.compile(r"[!#-;=@-~]+")
_SCHEME = re.compile(r"sips?:", re.IGNORECASE)


def _uri(text: str | None) -> str | None:
    """What follows `sip:` (RFC 3261, 19.1): no spaces, quotes, angle brackets or header fields."""
    if text is not None and (not _URI.fullmatch(text) or _SCHEME.match(text)):
        raise ValueError(f"must be user@domain or a domain, in ASCII and without sip:, got {text!r}")
    return text


@dataclass(frozen=True, slots=True)
class _Question:
    """What makes an answer ours."""

    branch: str
    call_id: str
    tag: str

    def answered_by(self, fields: Mapping[str, str]) -> bool:
        """Whether these are the header fields of an answer to it."""
        branch = _BRANCH.search(fields.get("via", "").partition(",")[0])
        tag = _TAG.search(fields.get("from", "").rpartition(">")[2])
        return (
            (branch is not None and branch[1] == self.branch)
            and (tag is not None and tag[1] == self.tag)
            and fields.get("call-id") == self.call_id
            and _CSEQ.fullmatch(fields.get("cseq", "")) is not None
        )


@dataclass(frozen=True, slots=True)
class _Message:
    """The head of a message. status: 0 for a request. fields: the first of each name, in lower case."""

    status: int
    phrase: bytes
    fields: Mapping[str, str]

    @property
    def length(self) -> int:
        """Bytes of its body."""
        text = self.fields.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,10}", text) or int(text) > _MOST:
            raise CheckFailed(Reason.PROTOCOL, f"Content-Length is {shown(text.encode())!r}")
        return int(text)


@dataclass(frozen=True, slots=True)
class SipCheck:
    """A SIP server (a proxy, a registrar, a telephone) that answers OPTIONS with the right status.

    Provisional answers (1xx) are skipped. A proxy answers for itself if `user` is a name of its own without a user, or
    if `max_forwards` is 0; else it may ask the one who is named.
    """

    kind: ClassVar[str] = "sip"

    user: str | None = option(
        None, "who is asked, as user@domain or a domain; default: the server, by its address", rule=_uri
    )
    caller: str | None = option(None, "who asks (From), as user@domain; default: healthd at our own address", rule=_uri)
    status: tuple[str, ...] = option(
        ("200",), 'final statuses that are right: numbers, ranges ("200-299") or families', rule=number_list(200, 699)
    )
    max_forwards: int = option(70, "proxies that the question may pass", rule=between(0, 255))
    tcp: bool = option(False, "ask over TCP")
    tls: Tls | None = option(None, "ask over TLS")

    _statuses: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the set of statuses."""
        object.__setattr__(self, "_statuses", numbers(self.status, 200, 699))

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 5061 if self.tls else 5060

    def converse(self, target: Target) -> Conversation:
        """Ask, skip what is provisional or not for us, and judge the final answer."""
        receive: Callable[[], Generator[Step, Any, _Message | None]] = _from_datagram
        if self.tcp or self.tls is not None:
            yield Connect(self.tls, speaks=True)
            receive = partial(_from_stream, Reader(_MOST))
        else:
            yield Datagram()
        own: Endpoint = yield Whence()
        question = _Question(f"z9hG4bK{os.urandom(8).hex()}", os.urandom(16).hex(), os.urandom(8).hex())
        yield Send(self._request(target, own, question))
        for _ in range(_MESSAGES):
            message = yield from receive()
            if message and message.status >= _FINAL and question.answered_by(message.fields):
                return self._judge(message.status, message.phrase)
        raise CheckFailed(Reason.PROTOCOL, f"{_MESSAGES} messages, and none of them is the answer")

    def _request(self, target: Target, own: Endpoint, question: _Question) -> bytes:
        """OPTIONS (RFC 3261, 8.1.1). rport asks for the answer to where the question came from (RFC 3581)."""
        transport = "TLS" if self.tls else "TCP" if self.tcp else "UDP"
        here = f"{_host(own.address)}:{own.port}"
        user = self.user or f"{_host(target.address)}:{target.port}"
        lines = (
            f"OPTIONS sip:{user} SIP/2.0",
            f"Via: SIP/2.0/{transport} {here};branch={question.branch};rport",
            f"Max-Forwards: {self.max_forwards}",
            f"From: <sip:{self.caller or f'healthd@{_host(own.address)}'}>;tag={question.tag}",
            f"To: <sip:{user}>",
            f"Call-ID: {question.call_id}",
            "CSeq: 1 OPTIONS",
            f"Contact: <sip:healthd@{here}{'' if transport == 'UDP' else ';transport=tcp'}>",
            "Accept: application/sdp",
            "User-Agent: healthd",
            "Content-Length: 0",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _judge(self, status: int, phrase: bytes) -> str:
        text = f"{status} {shown(phrase)}".rstrip()
        if status not in self._statuses:
            raise CheckFailed(Reason.UNEXPECTED, f"got {text}, want {', '.join(self.status)}")
        return text


def _host(address: IPv4Address | IPv6Address) -> str:
    """An address as a URI has it: IPv6 in brackets and without a zone."""
    return f"[{str(address).partition('%')[0]}]" if isinstance(address, IPv6Address) else str(address)


def _from_datagram() -> Generator[Step, Any, _Message | None]:
    """The next datagram's message; None for an empty one, which keeps a way open (RFC 5626, 4.4)."""
    data: bytes = (yield Receive(_MOST)).lstrip(b"\r\n")
    if not data:
        return None
    head, *body = re.split(rb"\r?\n\r?\n", data, maxsplit=1)
    message = _parsed(re.split(rb"\r?\n", head))
    if not body or len(body[0]) < message.length:
        raise CheckFailed(Reason.PROTOCOL, "answer is cut short")
    return message


def _from_stream(reader: Reader) -> Generator[Step, Any, _Message | None]:
    """The next message of a stream, its body read and left (RFC 3261, 18.3)."""
    lines: list[bytes] = []
    left = _MOST
    while True:
        line = yield from reader.line()
        left -= len(line) + 2
        if left < 0:
            raise CheckFailed(Reason.PROTOCOL, f"headers are longer than {_MOST} bytes")
        if line:
            lines.append(line)
        elif lines:
            break
    message = _parsed(lines)
    yield from reader.exactly(message.length)
    return message


def _parsed(lines: list[bytes]) -> _Message:
    """The head of a message, line by line. CheckFailed(PROTOCOL) if it is not SIP."""
    first = lines[0]
    match = _STATUS_LINE.fullmatch(first)
    if match is None and not _REQUEST_LINE.fullmatch(first):
        raise CheckFailed(Reason.PROTOCOL, f"answer is not SIP: {shown(first)!r}")
    fields: dict[str, str] = {}
    for line in _unfolded(lines[1:]):
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if not colon:
            raise CheckFailed(Reason.PROTOCOL, f"answer has a line that is no header: {shown(line)!r}")
        name = name.strip().lower()
        fields.setdefault(_COMPACT.get(name, name), value.strip())
    return _Message(int(match[1]), match[2] or b"", fields) if match else _Message(0, b"", fields)


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Header fields in one line each: a line that begins with white space goes on with the last one (7.3.1)."""
    whole: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and whole:
            whole[-1] += b" " + line.strip()
        else:
            whole.append(line)
    return whole
