"""Messages of LDAP (RFC 4511): what a client sends, as bytes, and what a server answers, as values."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from checks import ber
from checks.ldap_filter import ATTRIBUTE
from healthd.check import CheckFailed, Reader, Reason, Step, shown

BIND_RESPONSE, ENTRY, DONE, REFERENCE, EXTENDED_RESPONSE = 0x61, 0x64, 0x65, 0x73, 0x78
_BIND, _UNBIND, _SEARCH, _EXTENDED = 0x60, 0x42, 0x63, 0x77
_VERSION = 3
_SIMPLE, _REFERRALS, _REQUEST_NAME, _RESPONSE_NAME = 0x80, 0xA3, 0x80, 0x8A
_START_TLS = "1.3.6.1.4.1.1466.20037"
_NOTICE_OF_DISCONNECTION = b"1.3.6.1.4.1.1466.20036"
_FIND_BASE = 2  # derefFindingBaseObj: a base that is an alias stands for what it points to
_SCOPES: Mapping[str, int] = MappingProxyType({"base": 0, "one": 1, "sub": 2})
_SET = 0x31
_NO_ATTRIBUTES = ("1.1",)  # RFC 4511, 4.5.1.8
_SELECTOR = re.compile(rf"(?:{ATTRIBUTE}|[*+])")  # RFC 4511, 4.5.1.8; RFC 3673

OPERATIONS: Mapping[int, str] = MappingProxyType(
    {
        BIND_RESPONSE: "bind response",
        ENTRY: "entry",
        DONE: "end of a search",
        REFERENCE: "search reference",
        EXTENDED_RESPONSE: "extended response",
    }
)
RESULTS: Mapping[int, str] = MappingProxyType(  # RFC 4511, appendix A; RFC 4528, 4533 and 3909 below
    {
        0: "success",
        1: "operationsError",
        2: "protocolError",
        3: "timeLimitExceeded",
        4: "sizeLimitExceeded",
        5: "compareFalse",
        6: "compareTrue",
        7: "authMethodNotSupported",
        8: "strongerAuthRequired",
        10: "referral",
        11: "adminLimitExceeded",
        12: "unavailableCriticalExtension",
        13: "confidentialityRequired",
        14: "saslBindInProgress",
        16: "noSuchAttribute",
        17: "undefinedAttributeType",
        18: "inappropriateMatching",
        19: "constraintViolation",
        20: "attributeOrValueExists",
        21: "invalidAttributeSyntax",
        32: "noSuchObject",
        33: "aliasProblem",
        34: "invalidDNSyntax",
        36: "aliasDereferencingProblem",
        48: "inappropriateAuthentication",
        49: "invalidCredentials",
        50: "insufficientAccessRights",
        51: "busy",
        52: "unavailable",
        53: "unwillingToPerform",
        54: "loopDetect",
        64: "namingViolation",
        65: "objectClassViolation",
        66: "notAllowedOnNonLeaf",
        67: "notAllowedOnRDN",
        68: "entryAlreadyExists",
        69: "objectClassModsProhibited",
        71: "affectsMultipleDSAs",
        80: "other",
        118: "canceled",
        122: "assertionFailed",
        123: "authorizationDenied",
        4096: "e-syncRefreshRequired",
    }
)
SUCCESS, SIZE_LIMIT_EXCEEDED = 0, 4


def attributes_rule(names: tuple[str, ...]) -> tuple[str, ...]:
    """Attributes that a search can ask for."""
    for name in names:
        if not _SELECTOR.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of an attribute; mail, 2.5.4.3, * and + are")
    return names


def results_rule(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of result codes, at least one."""
    if not names:
        raise ValueError("must name at least one")
    for name in names:
        if name not in RESULTS.values():
            raise ValueError(f"{name!r} is not the name of a result; success, noSuchObject, busy, ... are")
    return names


# --- requests ---------------------------------------------------------------------------------------------------


def _message(number: int, *operation: bytes) -> bytes:
    return ber.pack(ber.SEQUENCE, ber.pack_integer(number), *operation)


def bind(number: int, name: str, password: str) -> bytes:
    """A simple bind; anonymous if both are empty (RFC 4513, 5.1)."""
    asked = (ber.pack_integer(_VERSION), ber.pack_text(name), proof(password))
    return _message(number, ber.pack(_BIND, *asked))


def proof(password: str) -> bytes:
    """The part of a simple bind in which the password stands."""
    return ber.pack_text(password, _SIMPLE)


def start_tls(number: int) -> bytes:
    """The wish to speak TLS (RFC 4511, 4.14)."""
    return _message(number, ber.pack(_EXTENDED, ber.pack_text(_START_TLS, _REQUEST_NAME)))


def search(number: int, base: str, scope: str, size_limit: int, filter_: bytes, attributes: tuple[str, ...]) -> bytes:
    """A search. size_limit: most entries to send, 0 for all. filter_: as `ldap_filter.compiled` gives it.

    attributes: those to send with each entry; none sends none.
    """
    asked = (
        ber.pack_text(base),
        ber.pack_integer(_SCOPES[scope], ber.ENUMERATED),
        ber.pack_integer(_FIND_BASE, ber.ENUMERATED),
        ber.pack_integer(size_limit),
        ber.pack_integer(0),  # no time limit: the deadline of a probe is the engine's
        ber.pack_boolean(False),
        filter_,
        ber.pack(ber.SEQUENCE, *map(ber.pack_text, attributes or _NO_ATTRIBUTES)),
    )
    return _message(number, ber.pack(_SEARCH, *asked))


def unbind(number: int) -> bytes:
    """The good-bye, to which there is no answer."""
    return _message(number, ber.pack(_UNBIND))


# --- answers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """A message of a server's. number: of the request it answers, 0 for what was not asked. kind: its tag."""

    number: int
    kind: int
    body: bytes

    def __str__(self) -> str:
        """What it is, for people."""
        return OPERATIONS.get(self.kind, f"message of kind {self.kind:#04x}")


def read_answer(reader: Reader, most: int) -> Generator[Step, Any, Answer]:
    """Read one message of up to `most` bytes. Raises as `ber.read` does."""
    if not reader.buffer and not (yield from reader.more()):
        raise CheckFailed(Reason.PROTOCOL, "connection closed without an answer")
    elements = ber.Elements((yield from ber.read(reader, ber.SEQUENCE, most)))
    number = elements.take_integer()
    return Answer(number, *elements.take_any())


@dataclass(frozen=True, slots=True)
class Result:
    """How an operation ended. text: the server's diagnostic message. referrals: URIs of whom to ask instead."""

    code: int
    text: bytes
    referrals: tuple[bytes, ...]

    def __str__(self) -> str:
        """'referral (10) to ldap://b: text'."""
        where = f" to {shown(b' '.join(self.referrals))}" if self.referrals else ""
        return f"{result_name(self.code)} ({self.code}){where}{f': {shown(self.text)}' if self.text else ''}"


def result_name(code: int) -> str:
    """The name of a result code."""
    return RESULTS.get(code, "unknown result")


def result_of(answer: Answer) -> Result:
    """The LDAPResult that an answer begins with. Raises BerError."""
    return _result(ber.Elements(answer.body))


def disconnection_of(answer: Answer) -> Result | None:
    """Why the server is about to disconnect, if it says so unasked (RFC 4511, 4.4.1). Raises BerError."""
    if answer.number != 0 or answer.kind != EXTENDED_RESPONSE:
        return None
    elements = ber.Elements(answer.body)
    result = _result(elements)
    return result if elements.take_if(_RESPONSE_NAME) == _NOTICE_OF_DISCONNECTION else None


def _result(elements: ber.Elements) -> Result:
    code = elements.take_integer(ber.ENUMERATED)
    elements.take(ber.OCTETS)  # the DN up to which the server found its way
    text = elements.take(ber.OCTETS)
    referrals = ber.Elements(elements.take_if(_REFERRALS) or b"")
    return Result(code, text, tuple(_each(referrals)))


def _each(elements: ber.Elements) -> Iterator[bytes]:
    while elements:
        yield elements.take(ber.OCTETS)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a search found. values: those of all attributes that came."""

    name: str
    values: tuple[bytes, ...]


def entry_of(answer: Answer) -> Entry:
    """The entry in an answer. Raises BerError."""
    elements = ber.Elements(answer.body)
    name = elements.take(ber.OCTETS).decode("utf-8", "backslashreplace")
    attributes = ber.Elements(elements.take(ber.SEQUENCE))
    values: list[bytes] = []
    while attributes:
        attribute = ber.Elements(attributes.take(ber.SEQUENCE))
        attribute.take(ber.OCTETS)
        values += _each(ber.Elements(attribute.take(_SET)))
    return Entry(name, tuple(values))


def references_of(answer: Answer) -> tuple[bytes, ...]:
    """The URIs of a search reference. Raises BerError."""
    return tuple(_each(ber.Elements(answer.body)))
