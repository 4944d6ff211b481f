"""dns: the server answers a question as it should (RFC 1035), over UDP, TCP or TLS (RFC 7766, RFC 7858).

The question is packed once; a probe only gives it a new id. What can be told from the answer's header and question is
read from there; dnspython parses the whole answer only where its records or extended rcode are asked about.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, ClassVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename

from checks.rules import between, text_pattern, text_regex
from healthd.check import (
    REQUIRED,
    CheckFailed,
    Connect,
    Conversation,
    Datagram,
    Reader,
    Reason,
    Receive,
    Send,
    Step,
    Target,
    Tls,
    option,
)

_HEADER = 12
_QR, _OPCODE, _AA, _TC = 0x80, 0x78, 0x04, 0x02  # of the header's third byte
_AD, _RCODE = 0x20, 0x0F  # of its fourth
_PAYLOAD = 1232  # what fits into one packet of every usual path (DNS flag day 2020)
_RCODE_TEXT: Mapping[int, str] = MappingProxyType({rcode.value: rcode.name for rcode in dns.rcode.Rcode})
_MEDIUM = Datagram(own_port=False)
_ANSWER = Receive(65535)


def _name(text: str) -> str:
    try:
        dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise ValueError(f"{text!r} is not a domain name: {error}") from None
    return text


def _known(parse: Callable[[str], int], text: str, what: str) -> int:
    try:
        return int(parse(text))
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"{text!r} is not {what}") from None


def _record(text: str) -> str:
    number = _known(dns.rdatatype.from_text, text, "a type of record; A, AAAA, SOA, TXT, ... and TYPE123 are")
    if dns.rdatatype.is_metatype(dns.rdatatype.RdataType.make(number)) and number != dns.rdatatype.ANY:
        raise ValueError(f"{text!r} cannot be asked for like a record")
    return text


def _record_class(text: str) -> str:
    _known(dns.rdataclass.from_text, text, "a class; IN, CH and HS are")
    return text


def _rcodes(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise ValueError("must name at least one")
    for text in texts:
        _known(dns.rcode.from_text, text, "an rcode; NOERROR, NXDOMAIN, REFUSED, ... are")
    return texts


@dataclass(frozen=True, slots=True)
class DnsCheck:
    """A DNS question whose answer has the right rcode, flags and records.

    A truncated answer over UDP is asked for again over TCP, as resolvers do. Over UDP, whatever is not the answer to
    this very question is ignored, and then it is the deadline that fails the server.
    """

    kind: ClassVar[str] = "dns"

    name: str = option(REQUIRED, "name to ask for; for PTR an address may stand here", rule=_name)
    record: str = option("A", "type of record to ask for", rule=_record)
    record_class: str = option("IN", "class to ask for", rule=_record_class)
    rcode: tuple[str, ...] = option(("NOERROR",), "rcodes that are right", rule=_rcodes)
    min_answers: int | None = option(
        None,
        "least number of records in the answer; default: 1 if NOERROR is the only right rcode, otherwise 0",
        rule=between(0, 65535),
    )
    expect: str | None = option(
        None,
        "regular expression that must match somewhere in one of the records, as a zone file writes it, with or without "
        "a final dot",
        rule=text_regex,
    )
    answers: tuple[str, ...] = option((), "the records that must be answered, all and no others, as in a zone file")
    authoritative: bool = option(False, "the answer must be authoritative (AA)")
    authenticated: bool = option(False, "the answer must be validated by the server (AD, RFC 4035)")
    recursion: bool = option(True, "ask for recursion (RD)")
    edns: bool = option(False, "use EDNS (RFC 6891)")
    dnssec: bool = option(False, "ask for signatures (DO); uses EDNS")
    tcp: bool = option(False, "ask over TCP")
    tls: Tls | None = option(None, "ask over TLS")

    _query: bytes = field(init=False, repr=False, compare=False)
    _question: bytes = field(init=False, repr=False, compare=False)
    _rcode_numbers: frozenset[int] = field(init=False, repr=False, compare=False)
    _least: int = field(init=False, repr=False, compare=False)
    _plain: bool = field(init=False, repr=False, compare=False)
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _wanted: frozenset[bytes] = field(init=False, repr=False, compare=False)
    _type: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target."""
        rcodes = frozenset(int(dns.rcode.from_text(text)) for text in _rcodes(self.rcode))
        least = int(rcodes == {0}) if self.min_answers is None else self.min_answers
        asked = _asked(_name(self.name), _record(self.record))
        prepared = {
            "_query": self._pack(asked)[2:],
            "_question": asked.to_digestable(),
            "_rcode_numbers": rcodes,
            "_least": least,
            "_plain": not (self.expect or self.answers or self.edns or self.dnssec)
            and not (self.authoritative or self.authenticated),
            "_pattern": None if self.expect is None else text_pattern(self.expect),
            "_wanted": frozenset(self._canonical(text) for text in self.answers),
            "_type": int(dns.rdatatype.from_text(self.record)),
        }
        for name, value in prepared.items():
            object.__setattr__(self, name, value)

    def _pack(self, name: dns.name.Name) -> bytes:
        flags = (dns.flags.RD if self.recursion else 0) | (dns.flags.AD if self.authenticated else 0)
        query = dns.message.make_query(
            name,
            self.record.upper(),
            _record_class(self.record_class).upper(),
            use_edns=0 if self.edns or self.dnssec else False,
            payload=_PAYLOAD,
            want_dnssec=self.dnssec,
            flags=dns.flags.Flag(flags),
        )
        return query.to_wire()

    def _canonical(self, text: str) -> bytes:
        kind, group = self.record.upper(), self.record_class.upper()
        try:
            return dns.rdata.from_text(group, kind, text, origin=dns.name.root, relativize=False).to_digestable()
        except dns.exception.DNSException as error:
            raise ValueError(f"answers: {text!r} is not a record of type {kind}: {error}") from None

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 853 if self.tls else 53

    def converse(self, target: Target) -> Conversation:
        """Ask and judge."""
        query = os.urandom(2) + self._query
        if self.tcp or self.tls is not None:
            answer = yield from self._over_stream(query)
        else:
            yield _MEDIUM
            yield Send(query)
            while not self._answered(answer := (yield _ANSWER), query):
                pass
            if answer[2] & _TC:
                answer = yield from self._over_stream(query)
        return self._judge(answer)

    def _answered(self, data: bytes, query: bytes) -> bool:
        """Whether these are the bytes of an answer to the query: id, QR, opcode and question.

        A server that could not read a question may leave it out of its error.
        """
        if len(data) < _HEADER or data[:2] != query[:2] or data[2] & (_QR | _OPCODE) != _QR:
            return False
        if data[4:6] == b"\0\0":
            return data[3] & _RCODE != 0
        name_end = _HEADER + len(self._question)
        same_name = data[_HEADER:name_end].lower() == self._question
        return same_name and data[4:6] == b"\0\1" and data[name_end : name_end + 4] == query[name_end : name_end + 4]

    def _over_stream(self, query: bytes) -> Generator[Step, Any, bytes]:
        yield Connect(self.tls, speaks=True)
        yield Send(len(query).to_bytes(2, "big") + query)
        reader = Reader(65537)
        length = int.from_bytes((yield from reader.exactly(2)), "big")
        answer = yield from reader.exactly(length)
        if not self._answered(answer, query):
            raise CheckFailed(Reason.PROTOCOL, "answer does not belong to the question")
        return answer

    def _judge(self, answer: bytes) -> str:
        rcode, count = answer[3] & _RCODE, answer[6] << 8 | answer[7]
        if self._plain and count >= self._least and rcode in self._rcode_numbers:
            return _detail(rcode, count)
        records: list[dns.rdata.Rdata] = []
        if self._pattern or self._wanted or self.edns or self.dnssec:
            message = _parsed(answer)
            rcode = int(message.rcode())
            records = list(self._records(message))
        if rcode not in self._rcode_numbers:
            raise CheckFailed(Reason.UNEXPECTED, f"got {_rcode_text(rcode)}, want {', '.join(self.rcode)}")
        self._judge_header(answer, count)
        self._judge_records(records)
        return _detail(rcode, count)

    def _judge_header(self, answer: bytes, count: int) -> None:
        if self.authoritative and not answer[2] & _AA:
            raise CheckFailed(Reason.UNEXPECTED, "answer is not authoritative (no AA flag)")
        if self.authenticated and not answer[3] & _AD:
            raise CheckFailed(Reason.UNEXPECTED, "answer is not validated (no AD flag)")
        if count < self._least:
            raise CheckFailed(Reason.UNEXPECTED, f"got {count} records, want {self._least} or more")

    def _records(self, message: dns.message.Message) -> Iterable[dns.rdata.Rdata]:
        for rrset in message.answer:
            if self._type in (rrset.rdtype, dns.rdatatype.ANY):
                yield from rrset

    def _judge_records(self, records: list[dns.rdata.Rdata]) -> None:
        if self._wanted and frozenset(r.to_digestable() for r in records) != self._wanted:
            raise CheckFailed(Reason.UNEXPECTED, f"got {_texts(records)}, want {', '.join(sorted(self.answers))}")
        if self._pattern and not any(map(self._pattern.search, _forms(records))):
            raise CheckFailed(Reason.UNEXPECTED, f"expect {self.expect!r} does not match: got {_texts(records)}")


def _asked(name: str, record: str) -> dns.name.Name:
    if record.upper() == "PTR":
        try:
            return dns.reversename.from_address(str(ip_address(name)))
        except ValueError:
            pass
    return dns.name.from_text(name)


def _forms(records: Iterable[dns.rdata.Rdata]) -> Iterable[str]:
    """Each record as text, and again without a final dot."""
    for text in map(str, records):
        yield text
        if text.endswith("."):
            yield text[:-1]


def _parsed(answer: bytes) -> dns.message.Message:
    try:
        return dns.message.from_wire(answer, ignore_trailing=True)
    except dns.exception.DNSException as error:
        raise CheckFailed(Reason.PROTOCOL, f"answer is malformed: {error}") from None


@lru_cache(maxsize=256)
def _detail(rcode: int, count: int) -> str:
    return f"{_rcode_text(rcode)}, {count} {'record' if count == 1 else 'records'}"


def _rcode_text(rcode: int) -> str:
    return _RCODE_TEXT.get(rcode) or f"RCODE{rcode}"


def _texts(records: list[dns.rdata.Rdata]) -> str:
    texts = ", ".join(sorted(record.to_text() for record in records))
    return (texts if len(texts) <= 200 else texts[:197] + "...") or "no such record"
