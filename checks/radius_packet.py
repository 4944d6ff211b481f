"""Packets of RADIUS (RFC 2865, 2866, 3579, 5997): requests as bytes, answers verified and taken apart. Pure.

Everything that is secret in it hangs on MD5, because the protocol has nothing else; Message-Authenticator (an HMAC) is
what makes an answer hard to forge (CVE-2024-3596, "Blast-RADIUS").
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from types import MappingProxyType

ACCESS_REQUEST, ACCESS_ACCEPT, ACCOUNTING_RESPONSE, STATUS_SERVER = 1, 2, 5, 12
CODES: Mapping[int, str] = MappingProxyType(
    {
        ACCESS_REQUEST: "Access-Request",
        ACCESS_ACCEPT: "Access-Accept",
        3: "Access-Reject",
        4: "Accounting-Request",
        ACCOUNTING_RESPONSE: "Accounting-Response",
        11: "Access-Challenge",
        STATUS_SERVER: "Status-Server",
        13: "Status-Client",
        52: "Protocol-Error",  # RFC 7930
    }
)
ANSWERS = frozenset((2, 3, 5, 11, 52))

USER_NAME, _USER_PASSWORD, _CHAP_PASSWORD, REPLY_MESSAGE, NAS_IDENTIFIER = 1, 2, 3, 18, 32
_PROXY_STATE, _CHAP_CHALLENGE, _MESSAGE_AUTHENTICATOR = 33, 60, 80
_NAS_ADDRESS: Mapping[int, int] = MappingProxyType({4: 4, 6: 95})
_OURS = frozenset((USER_NAME, _USER_PASSWORD, _CHAP_PASSWORD, _CHAP_CHALLENGE, _MESSAGE_AUTHENTICATOR))
_NUMBERS: Mapping[str, int] = MappingProxyType(
    {"nas-port": 5, "service-type": 6, "framed-protocol": 7, "login-service": 15, "nas-port-type": 61}
)
_TEXTS: Mapping[str, int] = MappingProxyType(
    {"called-station-id": 30, "calling-station-id": 31, "connect-info": 77, "nas-port-id": 87}
)

HEADER, MOST = 20, 4096
_MOST_VALUE = 253
MOST_PASSWORD = 128
_BLOCK = 16
_KIND = re.compile(r"[0-9]{1,3}")

_md5 = partial(hashlib.md5, usedforsecurity=False)  # or Python under FIPS would refuse it


class PacketError(ValueError):
    """Bytes that are no answer to our request; the text says why."""


# --- attributes -------------------------------------------------------------------------------------------------


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute. ValueError if its value is empty or longer than 253 bytes."""
    if not 1 <= len(value) <= _MOST_VALUE:
        raise ValueError(f"must be 1 to {_MOST_VALUE} bytes, got {len(value)}")
    return bytes((kind, len(value) + 2)) + value


def nas_address(text: str) -> bytes:
    """NAS-IP-Address or NAS-IPv6-Address (RFC 3162)."""
    address = ip_address(text)
    return attribute(_NAS_ADDRESS[address.version], address.packed)


def named_attribute(name: str, text: str) -> bytes:
    """An attribute by name, or by number with its value as text, or as 0x and hex digits."""
    try:
        return attribute(*_named(name, text))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _named(name: str, text: str) -> tuple[int, bytes]:
    low = name.lower()
    if low in _NUMBERS:
        if not text.isascii() or not text.isdigit() or int(text) >= 2**32:
            raise ValueError(f"must be a number below 2^32, got {text!r}")
        return _NUMBERS[low], int(text).to_bytes(4, "big")
    if low in _TEXTS:
        return _TEXTS[low], text.encode()
    if not _KIND.fullmatch(low) or not 1 <= int(low) <= 255:
        known = ", ".join(sorted((*_NUMBERS, *_TEXTS)))
        raise ValueError(f"is neither the number of an attribute nor one of {known}")
    if int(low) in _OURS:
        raise ValueError("cannot be set, as the check itself does")
    return int(low), bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()


def attributes_rule(table: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Attributes to add to a request."""
    for name, text in table:
        named_attribute(name, text)
    return table


# --- requests ---------------------------------------------------------------------------------------------------


def pap(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """User-Password, hidden as RFC 2865, 5.2 says."""
    padded = password.ljust(max(_BLOCK, -(-len(password) // _BLOCK) * _BLOCK), b"\0")
    hidden, last = b"", authenticator
    for at in range(0, len(padded), _BLOCK):
        last = _xor(padded[at : at + _BLOCK], _md5(secret + last).digest())
        hidden += last
    return attribute(_USER_PASSWORD, hidden)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def chap(password: bytes, identifier: int, challenge: bytes) -> bytes:
    """CHAP-Password and CHAP-Challenge (RFC 2865, 5.3 and 5.40)."""
    lead = bytes((identifier,))
    proof = _md5(lead + password + challenge).digest()
    return attribute(_CHAP_PASSWORD, lead + proof) + attribute(_CHAP_CHALLENGE, challenge)


def request(code: int, identifier: int, authenticator: bytes, attributes: Iterable[bytes], secret: bytes) -> bytes:
    """A request with Message-Authenticator as its first attribute. ValueError if it would be too long."""
    body = b"".join(attributes)
    length = HEADER + 2 + _BLOCK + len(body)
    if length > MOST:
        raise ValueError(f"attributes are too long: a request of {length} bytes, where {MOST} is the most")
    header = bytes((code, identifier)) + length.to_bytes(2, "big") + authenticator
    blank = header + attribute(_MESSAGE_AUTHENTICATOR, bytes(_BLOCK)) + body
    proof = hmac.new(secret, blank, _md5).digest()
    return header + attribute(_MESSAGE_AUTHENTICATOR, proof) + body


# --- answers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer. authenticated: it has a Message-Authenticator."""

    code: int
    attributes: tuple[tuple[int, bytes], ...]
    authenticated: bool

    @property
    def name(self) -> str:
        """What it says."""
        return CODES[self.code]

    @property
    def message(self) -> bytes:
        """The texts for the user, one after the other."""
        return b" ".join(value for kind, value in self.attributes if kind == REPLY_MESSAGE)


def verified(data: bytes, asked: bytes, secret: bytes) -> Answer:
    """The answer to the request `asked`. PacketError if it is malformed, or not by somebody who knows the secret.

    What follows the length that the packet gives is padding (RFC 2865, 3).
    """
    length = int.from_bytes(data[2:4], "big")
    if not HEADER <= length <= min(len(data), MOST):
        raise PacketError(f"it says it is {length} bytes long, and is {len(data)}")
    packet, authenticator = data[:length], asked[4:HEADER]
    if packet[0] not in ANSWERS or packet[1] != asked[1]:
        raise PacketError(f"it is no answer to our request (code {packet[0]}, identifier {packet[1]})")
    if not hmac.compare_digest(_md5(packet[:4] + authenticator + packet[HEADER:] + secret).digest(), packet[4:HEADER]):
        raise PacketError("its Response Authenticator is wrong; is the secret the server's?")
    attributes = tuple(_attributes(packet))
    proofs = [at for kind, at, _ in attributes if kind == _MESSAGE_AUTHENTICATOR]
    if proofs:
        _check_proofs(packet, authenticator, proofs, secret)
    elif not _proxy_states(attributes) <= _proxy_states(_attributes(asked)):
        raise PacketError("it has a Proxy-State that we did not send and no Message-Authenticator (CVE-2024-3596)")
    return Answer(packet[0], tuple((kind, value) for kind, _, value in attributes), bool(proofs))


def _proxy_states(attributes: Iterable[tuple[int, int, bytes]]) -> set[bytes]:
    return {value for kind, _, value in attributes if kind == _PROXY_STATE}


def _attributes(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, place of the value, and value of each attribute."""
    at = HEADER
    while at < len(packet):
        size = packet[at + 1] if at + 1 < len(packet) else 0
        if size < 2 or at + size > len(packet):
            raise PacketError("its attributes are malformed")
        yield packet[at], at + 2, packet[at + 2 : at + size]
        at += size


def _check_proofs(packet: bytes, authenticator: bytes, places: list[int], secret: bytes) -> None:
    """PacketError unless there is one Message-Authenticator and it is right (RFC 3579, 3.2)."""
    at = places[0]
    if len(places) > 1 or packet[at - 1] != _BLOCK + 2:
        raise PacketError("its Message-Authenticator is malformed")
    blank = packet[:4] + authenticator + packet[HEADER:at] + bytes(_BLOCK) + packet[at + _BLOCK :]
    if not hmac.compare_digest(hmac.new(secret, blank, _md5).digest(), packet[at : at + _BLOCK]):
        raise PacketError("its Message-Authenticator is wrong")
