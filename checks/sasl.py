"""What smtp, imap and pop share of a login: the mechanisms of SASL, and which of them to take.

PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login-00) and CRAM-MD5 (RFC 2195). A mechanism is what to answer to each
challenge of the server's; the protocols differ only in the words around it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from healthd.check import CheckFailed, Reason, Step, shown

Answer = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Login:
    """A login by one mechanism. answers: of each challenge in turn, what to answer, not yet in base64.

    client_first: the first answer needs no challenge and may go out with the command that begins the login.
    """

    mechanism: str
    client_first: bool
    answers: tuple[Answer, ...]


def _plain(user: bytes, password: bytes) -> Login:
    return Login("PLAIN", True, (lambda _: b"\0" + user + b"\0" + password,))


def _login(user: bytes, password: bytes) -> Login:
    return Login("LOGIN", False, (lambda _: user, lambda _: password))


def _cram_md5(user: bytes, password: bytes) -> Login:
    return Login("CRAM-MD5", False, (lambda challenge: user + b" " + _keyed_md5(password, challenge),))


def _keyed_md5(password: bytes, challenge: bytes) -> bytes:
    md5: Any = partial(hashlib.md5, usedforsecurity=False)  # else systems in FIPS mode have none
    return hmac.new(password, challenge, md5).hexdigest().encode()


MECHANISMS: Mapping[str, Callable[[bytes, bytes], Login]] = MappingProxyType(
    {"PLAIN": _plain, "LOGIN": _login, "CRAM-MD5": _cram_md5}
)


def login(mechanism: str, user: str, password: str) -> Login:
    """The login by a mechanism: PLAIN, LOGIN or CRAM-MD5."""
    return MECHANISMS[mechanism](user.encode(), password.encode())


def chosen(auth: str, known: Iterable[str], offered: Collection[str], encrypted: bool) -> str:
    """The mechanism to take. auth: its name in any case, or "auto" for the first of the `known` that is offered.

    Where nothing is encrypted, CRAM-MD5 goes before those that show the password. CheckFailed(UNEXPECTED) if what is
    wanted is not offered.
    """
    ranked = sorted(known, key=lambda name: encrypted == (name == "CRAM-MD5"))
    wanted = ranked if auth == "auto" else [auth.upper()]
    for name in wanted:
        if name in offered:
            return name
    offers = ", ".join(sorted(offered)) or "nothing"
    raise CheckFailed(Reason.UNEXPECTED, f"offers {shown(offers.encode())} to log in with, want {' or '.join(wanted)}")


class Talk(Protocol):
    """What a protocol brings to a login."""

    def say(self, line: bytes, hide: bytes = b"") -> Generator[Step, Any, None]:
        """Send a line."""
        ...

    def challenge(self) -> Generator[Step, Any, bytes]:
        """Wait for a challenge, in base64. CheckFailed if something else comes."""
        ...


def exchange(talk: Talk, command: bytes, login: Login, at_once: bool) -> Generator[Step, Any, None]:
    """Send the command that begins a login, and answer challenges; the server's last word is not waited for.

    command: without the mechanism. at_once: this protocol and server take a first answer together with the command.
    """
    line, answers = command + b" " + login.mechanism.encode(), list(login.answers)
    if login.client_first and at_once:
        secret = b64encode(answers.pop(0)(b""))
        yield from talk.say(line + b" " + secret, secret)
    else:
        yield from talk.say(line)
    for answer in answers:
        challenge = yield from talk.challenge()
        secret = b64encode(answer(_decoded(challenge)))
        yield from talk.say(secret, secret)


def _decoded(text: bytes) -> bytes:
    try:
        return b64decode(text.strip(), validate=True)
    except binascii.Error:
        raise CheckFailed(Reason.PROTOCOL, f"got a challenge that is not base64: {shown(text)!r}") from None
