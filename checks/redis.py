"""redis: a Redis or Valkey server answers PING and, if asked for, has the right role, a fresh replica or a value.

The protocol is RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec). Commands go out as arrays of
counted texts, so whatever stands in an option is data and never a second command.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from checks.rules import between, pattern, regex, want, without
from healthd.check import (
    CheckFailed,
    Connect,
    Conversation,
    Reader,
    Reason,
    Send,
    Step,
    Target,
    Tls,
    option,
    shown,
)

_MOST = 65536
"""Bytes of one answer. `INFO replication` of a master with a hundred replicas is a sixth of it."""

_REPEATED = b", with args beginning with:"
"""What comes before our own words in the answer to a command that the server does not know, as AUTH renamed."""

_COUNT = re.compile(rb"-1|0|[1-9][0-9]{0,9}")
_KINDS = frozenset((b"+", b":", b"$", b"*"))
_ROLES: Mapping[str, str] = MappingProxyType({"master": "master", "slave": "replica"})


def _key(text: str | None) -> str | None:
    if text == "":
        raise ValueError("must not be empty")
    return text


@dataclass(frozen=True, slots=True)
class RedisCheck:
    """A server of Redis's protocol that answers PING, after a login where there is a user or a password.

    A server that is loading its data, that is full, or that is a replica which has lost its master and may not serve
    old data says so instead of PONG, and fails. A role, `max_lag` and `min_replicas` are read from `INFO replication`;
    where any of them is asked about, a replica whose link to its master is down fails, too.
    """

    kind: ClassVar[str] = "redis"
    usual_port: ClassVar[int] = 6379

    user: str | None = option(None, "user to log in as (Redis 6 and later); default: give the password alone")
    password: str = option("", "password to log in with", secret=True)
    database: int | None = option(None, "number of the database to select", rule=between(0, 2**31 - 1))
    role: Literal["any", "master", "replica"] = option("any", "what the server must be")
    max_lag: int | None = option(
        None,
        "most seconds since a replica heard of its master; on a master, of a replica that `min_replicas` counts",
        rule=between(0, 2**31 - 1),
    )
    min_replicas: int | None = option(
        None, "least number of replicas that are online, if the server is a master", rule=between(0, 65535)
    )
    key: str | None = option(None, "key to GET, which must be there", rule=_key)
    expect: str | None = option(None, "regular expression that must match somewhere in the value of `key`", rule=regex)
    tls: Tls | None = option(None, "speak TLS from the start")

    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what would never be looked at."""
        if self.expect is not None and self.key is None:
            raise ValueError("expect needs key")
        if self.role == "replica" and self.min_replicas is not None:
            raise ValueError("min_replicas is about a master, and role asks for a replica")
        object.__setattr__(self, "_expect", None if self.expect is None else pattern(self.expect))

    def converse(self, target: Target) -> Conversation:
        """Log in, select, ping, and ask what else there is to ask."""
        yield Connect(self.tls, speaks=True)
        reader = Reader(_MOST)
        if self.user is not None or self.password:
            yield from self._log_in(reader)
        if self.database is not None:
            yield from _ask(reader, b"+OK", "SELECT", str(self.database))
        yield from _ask(reader, b"+PONG", "PING")
        detail = "PONG"
        if self.role != "any" or self.max_lag is not None or self.min_replicas is not None:
            detail += ", " + (yield from self._replication(reader))
        if self.key is not None:
            detail += ", " + (yield from self._value(reader, self.key))
        return detail

    def _log_in(self, reader: Reader) -> Generator[Step, Any, None]:
        user = () if self.user is None else (self.user,)
        yield from _ask(reader, b"+OK", "AUTH", *user, self.password, hide=self.password)

    def _value(self, reader: Reader, key: str) -> Generator[Step, Any, str]:
        value = yield from _bulk(reader, "GET", key)
        if value is None:
            raise CheckFailed(Reason.UNEXPECTED, f"GET: there is no key {key!r}")
        if self._expect is not None:
            want(self._expect.search(value) is not None, value, expect=self.expect)
        return f"value of {len(value)} bytes"

    def _replication(self, reader: Reader) -> Generator[Step, Any, str]:
        told = _fields((yield from _bulk(reader, "INFO", "replication")) or b"")
        role = _ROLES.get(told.get("role", ""))
        if role is None:
            raise CheckFailed(Reason.UNEXPECTED, f"INFO replication names no role: got {told.get('role')!r}")
        if self.role not in ("any", role):
            raise CheckFailed(Reason.UNEXPECTED, f"server is a {role}, want a {self.role}")
        return self._as_master(told) if role == "master" else self._as_replica(told)

    def _as_replica(self, told: Mapping[str, str]) -> str:
        if (link := told.get("master_link_status")) != "up":
            syncing = ", first copy is under way" if told.get("master_sync_in_progress") == "1" else ""
            raise CheckFailed(Reason.UNEXPECTED, f"link of the replica to its master is {link or 'not told'}{syncing}")
        lag = _number(told, "master_last_io_seconds_ago")
        if self.max_lag is not None and not 0 <= lag <= self.max_lag:
            raise CheckFailed(Reason.UNEXPECTED, f"replica heard of its master {lag} s ago, want {self.max_lag} s")
        return f"replica, heard of its master {lag} s ago"

    def _as_master(self, told: Mapping[str, str]) -> str:
        if self.min_replicas is None:
            return "master"
        good = sum(self._counts(value) for name, value in told.items() if re.fullmatch(r"slave\d+", name))
        if good < self.min_replicas:
            raise CheckFailed(Reason.UNEXPECTED, f"good replicas of the master: {good}, want {self.min_replicas}")
        return f"master, good replicas: {good}"

    def _counts(self, replica: str) -> bool:
        """Whether "ip=...,state=online,offset=...,lag=1" is a replica to count on; lag is in seconds."""
        told = dict(part.partition("=")[::2] for part in replica.split(","))
        if told.get("state") != "online":
            return False
        return self.max_lag is None or 0 <= _number(told, "lag") <= self.max_lag


def _fields(info: bytes) -> Mapping[str, str]:
    """Lines "name:value" as INFO has them."""
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.partition(":")[::2] for line in lines if ":" in line and not line.startswith("#"))


def _number(told: Mapping[str, str], name: str) -> int:
    try:
        return int(told[name])
    except (KeyError, ValueError):
        got = told.get(name, "nothing")
        raise CheckFailed(Reason.PROTOCOL, f"INFO replication has no number {name}: got {got[:40]!r}") from None


# --- RESP2 ------------------------------------------------------------------------------------------------------


def _command(*words: str) -> bytes:
    """A command as an array of counted texts."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def _ask(reader: Reader, wanted: bytes, *words: str, hide: str = "") -> Generator[Step, Any, None]:
    """Send a command whose answer must be this one."""
    secret = hide.encode()
    yield Send(_command(*words), secret)
    answer = yield from _line(reader, words[0], secret)
    if answer != wanted:
        reason = Reason.UNEXPECTED if answer[:1] in _KINDS else Reason.PROTOCOL
        raise CheckFailed(reason, f"{words[0]}: got {shown(without(secret, answer))!r}, want {wanted.decode()!r}")


def _bulk(reader: Reader, *words: str) -> Generator[Step, Any, bytes | None]:
    """Send a command whose answer must be a counted text; None where there is none (`$-1`)."""
    yield Send(_command(*words))
    line = yield from _line(reader, words[0])
    if line[:1] != b"$" or not _COUNT.fullmatch(line, 1):
        reason = Reason.UNEXPECTED if line[:1] in _KINDS else Reason.PROTOCOL
        raise CheckFailed(reason, f"{words[0]}: got {shown(line)!r}, want a text")
    if (length := int(line[1:])) < 0:
        return None
    if length > _MOST - 2:
        raise CheckFailed(Reason.UNEXPECTED, f"{words[0]}: answer of {length} bytes is longer than {_MOST - 2}")
    text = yield from reader.exactly(length + 2)
    if not text.endswith(b"\r\n"):
        raise CheckFailed(Reason.PROTOCOL, f"{words[0]}: answer is longer than the {length} bytes it announces")
    return text[:-2]


def _line(reader: Reader, command: str, secret: bytes = b"") -> Generator[Step, Any, bytes]:
    """The first line of an answer. CheckFailed(UNEXPECTED) with the server's own words if it is an error.

    secret: what of the question must not be told. A server repeats what it does not know, up to some length.
    """
    line = (yield from reader.until(b"\r\n"))[:-2]
    if line.startswith(b"-"):
        words = without(secret, line.partition(_REPEATED)[0])
        raise CheckFailed(Reason.UNEXPECTED, f"{command}: got {shown(words, 120)!r}")
    return line
