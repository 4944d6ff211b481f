"""memcached: the server tells its version and, if asked for, has the right statistics and values.

The protocol is memcached's own (doc/protocol.txt, over TCP). A server that logs in by SASL speaks the older binary one
only (https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped); then this check does so, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from checks.memcached_wire import Binary, Text
from checks.rules import pattern, regex, want
from healthd.check import CheckFailed, Connect, Conversation, Reason, Target, Tls, option, shown


def _word(text: str | None) -> str | None:
    if text is not None and not 0 < len(text.encode()) <= 250:
        raise ValueError(f"must be of 1 to 250 bytes, got {len(text.encode())}")
    if text is not None and any(c.isspace() or ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("must not contain spaces or control characters")
    return text


def _matches(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    for name, expression in pairs:
        _word(name)
        pattern(expression)
    return pairs


@dataclass(frozen=True, slots=True)
class MemcachedCheck:
    """A memcached that tells its version, after a login where there is a user. Nothing is stored in it.

    A statistic or value is looked at only where one is asked for. A full server ("Too many open connections"), one that
    wants a login and one that refuses ours fail in the server's own words.
    """

    kind: ClassVar[str] = "memcached"
    usual_port: ClassVar[int] = 11211

    user: str | None = option(None, "user to log in as", rule=_word)
    password: str = option("", "password to log in with; no spaces where `login` is text", secret=True)
    login: Literal["text", "sasl"] = option("text", "how to log in: as servers with -Y or as servers with -S want it")
    stats: tuple[tuple[str, str], ...] = option(
        (), "statistics by name, each with a regular expression that must match somewhere in its value", rule=_matches
    )
    key: str | None = option(None, "key to get, which must be there", rule=_word)
    expect: str | None = option(None, "regular expression that must match somewhere in the value of `key`", rule=regex)
    tls: Tls | None = option(None, "speak TLS from the start")

    _connect: Connect = field(init=False, repr=False, compare=False)
    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what would never be looked at, or cannot be said."""
        if self.password and self.user is None:
            raise ValueError("password needs user")
        if self.login == "sasl" and self.user is None:
            raise ValueError("login by sasl needs user")
        if self.login == "text" and self.user is not None:
            _login_word(self.password)
        if "\0" in self.password:
            raise ValueError("password must not contain a zero character")
        if self.expect is not None and self.key is None:
            raise ValueError("expect needs key")
        object.__setattr__(self, "_connect", Connect(self.tls, speaks=True))
        object.__setattr__(self, "_expect", None if self.expect is None else pattern(self.expect))

    def converse(self, target: Target) -> Conversation:
        """Log in, ask for the version, and for what else there is to ask."""
        yield self._connect
        dialect = Binary() if self.login == "sasl" else Text()
        if self.user is not None:
            yield from dialect.log_in(self.user, self.password)
        detail = f"version {shown((yield from dialect.version()))}"
        if self.stats:
            self._judge_stats((yield from dialect.stats()))
        if self.key is not None:
            value = yield from dialect.value(self.key)
            detail += f", value of {self._judge_value(value)} bytes"
        return detail

    def _judge_stats(self, told: Mapping[bytes, bytes]) -> None:
        for name, expression in self.stats:
            value = told.get(name.encode())
            if value is None:
                raise CheckFailed(Reason.UNEXPECTED, f"server has no statistic {name!r}")
            if not pattern(expression).search(value):
                raise CheckFailed(Reason.UNEXPECTED, f"{name}: {expression!r} does not match: got {shown(value)!r}")

    def _judge_value(self, value: bytes | None) -> int:
        if value is None:
            raise CheckFailed(Reason.UNEXPECTED, f"there is no key {self.key!r}")
        if self._expect is not None:
            want(self._expect.search(value) is not None, value, expect=self.expect)
        return len(value)


def _login_word(password: str) -> None:
    if not password or any(c.isspace() or ord(c) < 32 for c in password):
        raise ValueError("login by text needs a password without spaces and control characters")
