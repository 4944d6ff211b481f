"""SCRAM-SHA-256 as a client (RFC 5802, RFC 7677), without channel binding; messages in, messages out."""

from __future__ import annotations

import hashlib
import hmac
import stringprep
import unicodedata
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from healthd.check import CheckFailed, Reason, shown

MECHANISM = "SCRAM-SHA-256"

MOST_ROUNDS = 600_000
"""Most rounds of hashing a server may ask for. So many take a fifth of a second, in which nobody else is asked."""

_HEADER = b"n,,"
"""Of GS2: we know nothing of channel binding, and ask for no other name than the one we log in with."""


@dataclass(frozen=True, slots=True)
class Proof:
    """message: the client's last message. secret: what of it must not be shown. signature: what must come back."""

    message: bytes
    secret: bytes
    signature: bytes

    def accept(self, last: bytes) -> None:
        """CheckFailed unless the server's last message proves that it, too, knows the password."""
        given = _attributes(last).get("v", b"")
        if not hmac.compare_digest(_unpacked(given), self.signature):
            raise CheckFailed(Reason.UNEXPECTED, "the server cannot prove that it knows the password")


@dataclass(frozen=True, slots=True)
class Scram:
    """One exchange. nonce: printable ASCII without commas, never used before."""

    user: str
    password: str
    nonce: bytes

    def first(self) -> bytes:
        """The client's first message."""
        return _HEADER + self._bare()

    def answer(self, challenge: bytes) -> Proof:
        """What to answer the server's first message. CheckFailed(PROTOCOL) if it is not one, or not to us."""
        given = _attributes(challenge)
        nonce, salt, rounds = given.get("r", b""), _unpacked(given.get("s", b"")), given.get("i", b"")
        if not nonce.startswith(self.nonce) or nonce == self.nonce or not salt:
            raise CheckFailed(Reason.PROTOCOL, "SCRAM: the challenge is not an answer to ours")
        salted = salted_password(prepared(self.password), salt, _rounds(rounds))
        bare = b"c=" + _packed(_HEADER) + b",r=" + nonce
        signed = b",".join((self._bare(), challenge, bare))
        key = _mac(salted, b"Client Key")
        mask = _mac(hashlib.sha256(key).digest(), signed)
        proof = _packed(bytes(a ^ b for a, b in zip(key, mask, strict=True)))
        return Proof(bare + b",p=" + proof, proof, _mac(_mac(salted, b"Server Key"), signed))

    def _bare(self) -> bytes:
        name = self.user.replace("=", "=3D").replace(",", "=2C")
        return b"n=" + name.encode() + b",r=" + self.nonce


@lru_cache(maxsize=256)
def salted_password(password: str, salt: bytes, rounds: int) -> bytes:
    """The slow part. It is remembered, as RFC 5802 section 5.1 suggests: salts do not change between probes."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)


def prepared(password: str) -> str:
    """A password by SASLprep (RFC 4013), or as it is where that forbids it, which is what PostgreSQL does."""
    if password.isascii():
        return password
    kept = (c for c in password if not stringprep.in_table_b1(c))
    text = unicodedata.normalize("NFKC", "".join(" " if stringprep.in_table_c12(c) else c for c in kept))
    return text if text and not any(map(_forbidden, text)) and _one_direction(text) else password


_FORBIDDEN: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def _forbidden(character: str) -> bool:
    return any(table(character) for table in _FORBIDDEN)


def _one_direction(text: str) -> bool:
    """Text from right to left is so from end to end (RFC 3454, section 6)."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))


def _attributes(message: bytes) -> dict[str, bytes]:
    """The attributes of a server's message. CheckFailed(UNEXPECTED) if it says that it is an error."""
    pairs = [part.partition(b"=") for part in message.split(b",")]
    given = {name.decode("ascii", "replace"): value for name, _, value in pairs}
    if "e" in given:
        raise CheckFailed(Reason.UNEXPECTED, f"SCRAM: the server says {shown(given['e'])!r}")
    if "m" in given:
        raise CheckFailed(Reason.PROTOCOL, "SCRAM: the server asks for an extension that nobody knows")
    return given


def _rounds(text: bytes) -> int:
    if not text.isdigit() or len(text) > 9 or not 0 < int(text) <= MOST_ROUNDS:
        raise CheckFailed(Reason.PROTOCOL, f"SCRAM: {shown(text)!r} rounds are not 1 to {MOST_ROUNDS}")
    return int(text)


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _packed(data: bytes) -> bytes:
    return b2a_base64(data, newline=False)


def _unpacked(text: bytes) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except NotBase64:
        raise CheckFailed(Reason.PROTOCOL, f"SCRAM: {shown(text)!r} is not base64") from None
