"""radius: a server lets a user in, or says that it is alive (RFC 2865, 5997), over UDP or TLS (RFC 6614)."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, ClassVar, Literal

from checks import radius_packet
from checks.radius_packet import Answer, PacketError
from checks.rules import pattern, regex, want
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
    shown,
)

_MEDIUM = (
    Datagram()
)  # servers tell requests apart by port and an identifier of 8 bits, which one shared port would crowd
_ANSWER = Receive(65535, optional=True)
_AUTHENTICATOR = 16


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _value(text: str | None) -> str | None:
    if text is not None:
        radius_packet.attribute(0, text.encode())
    return text


def _address(text: str | None) -> str | None:
    if text is not None:
        ip_address(text)
    return text


def _codes(names: tuple[str, ...]) -> tuple[str, ...]:
    known = [radius_packet.CODES[code] for code in sorted(radius_packet.ANSWERS)]
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not an answer; {', '.join(known)} are")
    return names


@dataclass(frozen=True, slots=True)
class RadiusCheck:
    """With `user`, an Access-Request that is accepted; without, a Status-Server that is answered.

    Requests carry a Message-Authenticator. Answers are believed only from somebody who knows the secret: what has
    another Response Authenticator or Message-Authenticator, or is for another request, is ignored, and told when
    nothing better comes until the deadline. Where in an answer Message-Authenticator stands does not matter.
    """

    kind: ClassVar[str] = "radius"

    secret: str = option(
        REQUIRED, "secret that we share with the server; over TLS it is `radsec`", rule=_not_empty, secret=True
    )
    user: str | None = option(
        None,
        "user to ask entry for (Access-Request); default: ask whether the server is alive (Status-Server)",
        rule=_value,
    )
    password: str = option("", "password of the user", secret=True)
    method: Literal["pap", "chap"] = option("pap", "how to prove the password")
    nas_identifier: str | None = option("healthd", "what to call ourselves (NAS-Identifier)", rule=_value)
    nas_address: str | None = option(
        None, "address to give as our own (NAS-IP-Address or NAS-IPv6-Address)", rule=_address
    )
    attributes: tuple[tuple[str, str], ...] = option(
        (),
        "more attributes: NAS-Port-Type, Calling-Station-Id and some others by name, all by number; 0x... for bytes",
        rule=radius_packet.attributes_rule,
    )
    expect_code: tuple[str, ...] = option(
        (),
        "answers that are right; default: Access-Accept, and Accounting-Response where we ask without a user",
        rule=_codes,
    )
    expect: str | None = option(
        None, "regular expression that must match somewhere in the answer's Reply-Message", rule=regex
    )
    message_authenticator: Literal["required", "optional"] = option(
        "required",
        "whether an answer to an Access-Request over UDP must have one, as it must since CVE-2024-3596",
    )
    tls: Tls | None = option(None, "speak RADIUS over TLS (RadSec)")

    _fixed: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    _right: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target, and see that it makes a request."""
        self._agree()
        defaults = [radius_packet.ACCESS_ACCEPT]
        if self.user is None:
            defaults.append(radius_packet.ACCOUNTING_RESPONSE)
        prepared = {
            "_fixed": tuple(self._own_attributes()),
            "_right": self.expect_code or tuple(radius_packet.CODES[code] for code in defaults),
            "_expect": None if self.expect is None else pattern(self.expect),
        }
        for name, value in prepared.items():
            object.__setattr__(self, name, value)
        self._request()

    def _agree(self) -> None:
        if self.nas_identifier is None and self.nas_address is None:
            raise ValueError("one of nas_identifier and nas_address is needed (RFC 2865, 4.1)")
        if self.user is None and (self.password or self.method != "pap"):
            raise ValueError("password and method are of no use without user")
        if self.method == "pap" and len(self.password.encode()) > radius_packet.MOST_PASSWORD:
            raise ValueError(f"password must not be longer than {radius_packet.MOST_PASSWORD} bytes")

    def _own_attributes(self) -> Generator[bytes, None, None]:
        """All that is the same in every request."""
        if self.user is not None:
            yield radius_packet.attribute(radius_packet.USER_NAME, self.user.encode())
        if self.nas_identifier is not None:
            yield radius_packet.attribute(radius_packet.NAS_IDENTIFIER, self.nas_identifier.encode())
        if self.nas_address is not None:
            yield radius_packet.nas_address(self.nas_address)
        for name, text in self.attributes:
            yield radius_packet.named_attribute(name, text)

    def _request(self) -> Send:
        """A fresh request. Its proof of the password, which whoever knows the secret can read, is in no transcript."""
        code = radius_packet.STATUS_SERVER if self.user is None else radius_packet.ACCESS_REQUEST
        authenticator, identifier = os.urandom(_AUTHENTICATOR), os.urandom(1)[0]
        proof = b"" if self.user is None else self._proof(authenticator)
        attributes = (*self._fixed, proof)
        return Send(
            radius_packet.request(code, identifier, authenticator, attributes, self.secret.encode()), hide=proof
        )

    def _proof(self, authenticator: bytes) -> bytes:
        password = self.password.encode()
        if self.method == "chap":
            return radius_packet.chap(password, os.urandom(1)[0], os.urandom(_AUTHENTICATOR))
        return radius_packet.pap(password, self.secret.encode(), authenticator)

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 2083 if self.tls else 1812

    def converse(self, target: Target) -> Conversation:
        """Ask once and judge."""
        asked = self._request()
        if self.tls is not None:
            return self._judge((yield from self._over_tls(asked, self.tls)))
        answer = yield from self._over_udp(asked)
        if self._demanding and not answer.authenticated:
            told = "which message_authenticator = 'optional' would allow"
            raise CheckFailed(Reason.PROTOCOL, f"{answer.name} has no Message-Authenticator, {told}")
        return self._judge(answer)

    @property
    def _demanding(self) -> bool:
        """Whether an answer over UDP must have a Message-Authenticator.

        The forger of CVE-2024-3596 has to change the request on its way. That of a Status-Server is not answered
        without a right Message-Authenticator (RFC 5997); an Access-Request from which it was taken may be.
        """
        return self.message_authenticator == "required" and self.user is not None

    def _over_udp(self, asked: Send) -> Generator[Step, Any, Answer]:
        """The first answer that can be believed.

        Others may be anybody's, so that they cannot be held against the server while it still may answer.
        """
        yield _MEDIUM
        yield asked
        doubt: PacketError | None = None
        while (data := (yield _ANSWER)) is not None:
            try:
                return radius_packet.verified(data, asked.data, self.secret.encode())
            except PacketError as error:
                doubt = error
        if doubt is not None:
            raise CheckFailed(Reason.PROTOCOL, f"no answer that can be believed: {doubt}")
        hint = "servers are silent, too, where they do not know us or have another secret for us"
        raise CheckFailed(Reason.TIMEOUT, f"no answer; {hint}")

    def _over_tls(self, asked: Send, tls: Tls) -> Generator[Step, Any, Answer]:
        yield Connect(tls, speaks=True)
        yield asked
        reader = Reader(radius_packet.MOST)
        start = yield from reader.exactly(4)
        length = int.from_bytes(start[2:], "big")
        if not radius_packet.HEADER <= length <= radius_packet.MOST:
            raise CheckFailed(Reason.PROTOCOL, f"answer says it is {length} bytes long")
        rest = yield from reader.exactly(length - len(start))
        try:
            return radius_packet.verified(start + rest, asked.data, self.secret.encode())
        except PacketError as error:
            raise CheckFailed(Reason.PROTOCOL, f"answer cannot be believed: {error}") from None

    def _judge(self, answer: Answer) -> str:
        if answer.name not in self._right:
            said = f" ({shown(answer.message)})" if answer.message else ""
            raise CheckFailed(Reason.UNEXPECTED, f"got {answer.name}{said}, want {', '.join(self._right)}")
        if self._expect is not None:
            want(self._expect.search(answer.message) is not None, answer.message, expect=self.expect)
        return answer.name
