"""mqtt: a broker lets us in and, if asked to, takes our subscription or has a message (MQTT 3.1.1 and 5.0, OASIS)."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from checks.mqtt_packets import (
    CONNACK,
    DISCONNECT,
    PUBLISH,
    REASON_CODES,
    REASON_STRING,
    RETURN_CODES,
    SERVER_REFERENCE,
    SUBACK,
    Body,
    packet,
    read_packet,
    text,
)
from checks.rules import pattern, regex, want
from healthd.check import CheckFailed, Connect, Conversation, Reader, Reason, Send, Step, Target, Tls, option, shown

_LEVELS: Mapping[str, int] = MappingProxyType({"3.1.1": 4, "5.0": 5})
_CLEAN, _USER, _PASSWORD = 0x02, 0x80, 0x40
_KEEP_ALIVE = 60
"""Seconds after which a broker may forget us: longer than any probe."""

_SUBSCRIPTION = 1
"""Number of our one packet that is acknowledged."""

_NO_RETAINED = 0x20
"""Option of a subscription in 5.0 (3.8.3.1): what the broker has retained is not sent; it may be a great deal."""

_PACKETS = 1000
"""Most packets to read: a broker may send messages before it acknowledges a subscription."""

_LEAVE = Send(packet(DISCONNECT << 4, b""))


def _text(value: str | None) -> str | None:
    if value is not None and "\0" in value:
        raise ValueError("must not contain a zero character")
    if value is not None and len(value.encode()) > 65535:
        raise ValueError("must not be longer than 65535 bytes")
    return value


def _topic(value: str | None) -> str | None:
    """A topic filter (MQTT 5.0, 4.7): + stands for one level, # for all that follow."""
    if value == "":
        raise ValueError("must not be empty")
    levels = (_text(value) or "").split("/")
    if any(("+" in level and level != "+") or ("#" in level and level != "#") for level in levels):
        raise ValueError(f"+ and # must stand alone between slashes, got {value!r}")
    if "#" in levels[:-1]:
        raise ValueError(f"# must be the last level, got {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class MqttCheck:
    """A broker that accepts a connection with a clean session, which leaves nothing behind there.

    Refusals are told by the names of their codes, in 5.0 also in the broker's words.
    """

    kind: ClassVar[str] = "mqtt"

    version: Literal["3.1.1", "5.0"] = option("3.1.1", "version of MQTT to speak")
    client_id: str | None = option(
        None,
        "client identifier; a broker throws out whoever has the same; default: a new one for each probe",
        rule=_text,
    )
    user: str | None = option(None, "user to log in as", rule=_text)
    password: str | None = option(None, "password to log in with", rule=_text, secret=True)
    topic: str | None = option(None, "topic to subscribe to; + and # stand for any levels", rule=_topic)
    expect: str | None = option(
        None,
        "regular expression that must match somewhere in the first 64 KiB of the first message on `topic`, usually"
        " the retained one",
        rule=regex,
    )
    tls: Tls | None = option(None, "speak TLS from the start")

    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be said."""
        if self.version == "3.1.1" and self.password is not None and self.user is None:
            raise ValueError("password needs user in MQTT 3.1.1")
        if self.expect is not None and self.topic is None:
            raise ValueError("expect needs topic")
        object.__setattr__(self, "_expect", None if self.expect is None else pattern(self.expect))

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 8883 if self.tls else 1883

    def converse(self, target: Target) -> Conversation:
        """Connect, subscribe if there is a topic, and say good-bye."""
        yield Connect(self.tls, speaks=True)
        reader = Reader()
        yield self._hello()
        yield from self._welcome(reader)
        done = "accepted"
        if self.topic is not None:
            done += yield from self._subscribe(reader, self.topic)
        with suppress(CheckFailed):  # the verdict stands
            yield _LEAVE
        return done

    @property
    def _five(self) -> bool:
        return self.version == "5.0"

    def _hello(self) -> Send:
        """CONNECT (3.1)."""
        flags = _CLEAN | (0 if self.user is None else _USER) | (0 if self.password is None else _PASSWORD)
        name = f"healthd{os.urandom(8).hex()}" if self.client_id is None else self.client_id
        body = text("MQTT") + bytes((_LEVELS[self.version], flags)) + _KEEP_ALIVE.to_bytes(2, "big")
        body += (b"\0" if self._five else b"") + text(name)
        body += b"".join(text(one) for one in (self.user, self.password) if one is not None)
        return Send(packet(0x10, body), (self.password or "").encode())

    def _welcome(self, reader: Reader) -> Generator[Step, Any, None]:
        """CONNACK (3.2); a broker that does not know 5.0 says so in the older form."""
        data = (yield from read_packet(reader, CONNACK)).body
        older, body = len(data) == 2, Body(data)
        flags, code = body.number(1), body.number(1)
        told = body.properties() if self._five and not older else {}
        body.end()
        if code:
            raise _refusal("connection refused", code, RETURN_CODES if older else REASON_CODES, told)
        if older == self._five:
            raise CheckFailed(Reason.PROTOCOL, f"CONNACK is not one of MQTT {self.version}")
        if flags:
            raise CheckFailed(Reason.PROTOCOL, f"flags of CONNACK are {flags:#04x}, want 0x00: the session is clean")

    def _subscribe(self, reader: Reader, topic: str) -> Generator[Step, Any, str]:
        """SUBSCRIBE (3.8) for at most one delivery; the first message may come before the acknowledgement."""
        nothing = b"\0" if self._five else b""
        how = _NO_RETAINED if self._five and self._expect is None else 0
        yield Send(packet(0x82, _SUBSCRIPTION.to_bytes(2, "big") + nothing + text(topic) + bytes((how,))))
        wanted = (SUBACK, PUBLISH, DISCONNECT) if self._five else (SUBACK, PUBLISH)
        message, size, granted = None, 0, False
        for _ in range(_PACKETS):
            got = yield from read_packet(reader, *wanted)
            body = Body(got.body)
            if got.kind == DISCONNECT:
                raise self._thrown_out(body)
            if got.kind == SUBACK:
                self._judge_grant(body)
                granted = True
            elif message is None:
                message = self._message(got.flags, body)
                size = len(message) + got.left_out
            if granted and (self._expect is None or message is not None):
                return self._judge_message(message, size)
        raise CheckFailed(Reason.PROTOCOL, f"broker has sent {_PACKETS} packets without an answer to SUBSCRIBE")

    def _judge_grant(self, body: Body) -> None:
        """SUBACK (3.9)."""
        if (number := body.number(2)) != _SUBSCRIPTION:
            raise CheckFailed(Reason.PROTOCOL, f"SUBACK is of packet {number}, want {_SUBSCRIPTION}")
        told = body.properties() if self._five else {}
        code = body.number(1)
        body.end()
        if code > 2:
            raise _refusal("subscription refused", code, REASON_CODES if self._five else {}, told)

    def _message(self, flags: int, body: Body) -> bytes:
        """The payload of PUBLISH (3.3)."""
        body.blob()
        if (quality := flags >> 1 & 3) == 3:
            raise CheckFailed(Reason.PROTOCOL, "message has a quality of service that does not exist")
        if quality:
            body.take(2)
        if self._five:
            body.properties()
        return body.rest()

    def _judge_message(self, message: bytes | None, size: int) -> str:
        if self._expect is None or message is None:
            return ", subscribed"
        want(self._expect.search(message) is not None, message, expect=self.expect)
        return f", message of {size} bytes"

    def _thrown_out(self, body: Body) -> CheckFailed:
        """What DISCONNECT says (3.14); one without a reason says that all is well, which it is not for us."""
        data = body.rest()
        told = Body(data[1:]).properties() if len(data) > 1 else {}
        return _refusal("broker disconnects", data[0] if data else 0, REASON_CODES, told)


def _refusal(what: str, code: int, names: Mapping[int, str], told: Mapping[int, bytes]) -> CheckFailed:
    words = [f"{names.get(code, 'code')} ({code:#04x})"]
    words += [repr(shown(told[one])) for one in (REASON_STRING, SERVER_REFERENCE) if one in told]
    return CheckFailed(Reason.UNEXPECTED, f"{what}: {', '.join(words)}")
