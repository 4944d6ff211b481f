"""ldap: a directory lets us bind and finds what we search for (RFC 4511; TLS and binds as RFC 4513 has them)."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from checks import ber, ldap_filter, ldap_message
from checks.ldap_message import Answer, Entry, Result, attributes_rule, results_rule
from checks.rules import between, exclusive, one_line, pattern, regex, text_pattern, text_regex
from healthd.check import (
    CheckFailed,
    Connect,
    Conversation,
    Reader,
    Reason,
    Send,
    StartTls,
    Step,
    Target,
    Tls,
    option,
    shown,
)

_TLS_ID, _BIND_ID, _SEARCH_ID, _UNBIND_ID = 1, 2, 3, 4
_UNBIND = Send(ldap_message.unbind(_UNBIND_ID))
_FRAMING = 6  # most bytes of a message's tag and length


@dataclass(frozen=True, slots=True)
class LdapCheck:
    """A bind and a search that finds what it should. By default: an anonymous bind and the root entry (root DSE).

    An entry counts if it matches `expect_dn` and, in any value of any attribute asked for, `expect`. Referrals are not
    followed: where one is the answer it is told. Without TLS a password goes over the network as it is.
    """

    kind: ClassVar[str] = "ldap"

    tls: Tls | None = option(None, "speak TLS from the start (ldaps)")
    starttls: Tls | None = option(None, "ask for TLS on the plain port before anything else (StartTLS)")
    user: str | None = option(None, "name to bind as, mostly a DN; default: an anonymous bind", rule=one_line)
    password: str | None = option(None, "password to bind with", secret=True)
    bind: bool = option(
        True, "bind before searching; false searches without, for servers that let nobody bind as nobody"
    )
    base: str = option("", "DN to search from; empty for the root DSE", rule=one_line)
    scope: Literal["base", "one", "sub"] = option(
        "base", "what to search: the base itself, what is right below it, or the base and all below it"
    )
    filter: str = option("(objectClass=*)", "search filter (RFC 4515)", rule=ldap_filter.filter_rule)
    attributes: tuple[str, ...] = option((), "attributes to ask for", rule=attributes_rule)
    result: tuple[str, ...] = option(
        ("success",), "names of the results of the search that are right", rule=results_rule
    )
    min_entries: int | None = option(
        None,
        "least number of entries; default: 1 if success is the only right result and max_entries is not 0, otherwise 0",
        rule=between(0, 1_000_000),
    )
    max_entries: int | None = option(None, "greatest number of entries", rule=between(0, 1_000_000))
    expect_dn: str | None = option(
        None, "regular expression that must match somewhere in an entry's DN", rule=text_regex
    )
    expect: str | None = option(
        None, "regular expression that must match somewhere in a value of one of the attributes", rule=regex
    )
    max_bytes: int = option(1024 * 1024, "most bytes the search may answer with", rule=between(1024, 64 * 1024 * 1024))

    _bind: Send = field(init=False, repr=False, compare=False)
    _search: Send = field(init=False, repr=False, compare=False)
    _limit: int = field(init=False, repr=False, compare=False)
    _least: int = field(init=False, repr=False, compare=False)
    _dn: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _value: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target."""
        self._agree()
        some = results_rule(self.result) == ("success",) and self.max_entries != 0
        least = int(some) if self.min_entries is None else self.min_entries
        name, password = self.user or "", self.password or ""
        prepared = {
            "_bind": Send(ldap_message.bind(_BIND_ID, name, password), hide=ldap_message.proof(password)),
            "_least": least,
            "_dn": None if self.expect_dn is None else text_pattern(self.expect_dn),
            "_value": None if self.expect is None else pattern(self.expect),
            "_limit": self._size_limit(least),
        }
        for name, value in prepared.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_search", Send(self._packed_search()))

    def _agree(self) -> None:
        exclusive(self, "tls", "starttls")
        if bool(self.user) != bool(self.password):
            # RFC 4513, 5.1.2: servers take a name without a password for nobody, and say success
            raise ValueError("user and password are of use together only, and must not be empty")
        if self.user and not self.bind:
            raise ValueError("user is of no use without bind")
        if self.expect is not None and not self.attributes:
            raise ValueError("expect needs attributes")
        if self.max_entries is not None and self.max_entries < (self.min_entries or 0):
            raise ValueError(f"max_entries is less than min_entries: {self.max_entries} and {self.min_entries}")

    def _size_limit(self, least: int) -> int:
        """How many entries the verdict takes; 0 for all."""
        if self.expect_dn is not None or self.expect is not None:
            return 0
        return max(least, 1) if self.max_entries is None else self.max_entries + 1

    def _packed_search(self) -> bytes:
        wanted, attributes = ldap_filter.compiled(self.filter), attributes_rule(self.attributes)
        return ldap_message.search(_SEARCH_ID, self.base, self.scope, self._limit, wanted, attributes)

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 636 if self.tls else 389

    def converse(self, target: Target) -> Conversation:
        """Connect, bind, search, judge, and say good-bye without waiting for anything."""
        yield Connect(self.tls, speaks=True)
        try:
            detail = yield from self._ask()
        except ber.TooLong:
            raise CheckFailed(Reason.PROTOCOL, f"answer is longer than {self.max_bytes} bytes") from None
        except ber.BerError as error:
            raise CheckFailed(Reason.PROTOCOL, f"answer is not LDAP: {error}") from None
        except CheckFailed as failure:
            if failure.reason is Reason.UNEXPECTED:
                yield from _leave()
            raise
        yield from _leave()
        return detail

    def _ask(self) -> Generator[Step, Any, str]:
        reader = Reader(self.max_bytes + _FRAMING)
        if self.starttls is not None:
            yield Send(ldap_message.start_tls(_TLS_ID))
            yield from self._success(reader, _TLS_ID, ldap_message.EXTENDED_RESPONSE, "StartTLS")
            if reader.buffer:
                raise CheckFailed(Reason.PROTOCOL, "server spoke on before TLS began")
            yield StartTls(self.starttls)
        if self.bind:
            yield self._bind
            yield from self._success(reader, _BIND_ID, ldap_message.BIND_RESPONSE, "bind")
        yield self._search
        return (yield from self._found(reader))

    def _success(self, reader: Reader, number: int, kind: int, what: str) -> Generator[Step, Any, None]:
        """Wait for the answer to a request that must succeed."""
        answer = yield from _answer(reader, number, self.max_bytes)
        if answer.kind != kind:
            raise CheckFailed(Reason.PROTOCOL, f"{what}: got {answer}, want {ldap_message.OPERATIONS[kind]}")
        result = ldap_message.result_of(answer)
        if result.code != ldap_message.SUCCESS:
            raise CheckFailed(Reason.UNEXPECTED, f"{what}: got {result}, want success")

    def _found(self, reader: Reader) -> Generator[Step, Any, str]:
        """Read what the search found, one message at a time, and judge it."""
        found = _Found()
        left = self.max_bytes
        while True:
            answer = yield from _answer(reader, _SEARCH_ID, left)
            left -= _FRAMING + len(answer.body)
            match answer.kind:
                case ldap_message.ENTRY:
                    found.add(self._miss(ldap_message.entry_of(answer)))
                case ldap_message.REFERENCE:
                    found.referred = found.referred or ldap_message.references_of(answer)
                case ldap_message.DONE:
                    return self._judge(found, ldap_message.result_of(answer))
                case _:
                    raise CheckFailed(Reason.PROTOCOL, f"got {answer} to a search")

    def _miss(self, entry: Entry) -> str | None:
        """Why an entry does not count; None if it does."""
        if self._dn is not None and not self._dn.search(entry.name):
            return f"expect_dn {self.expect_dn!r} does not match: got {shown(entry.name.encode())!r}"
        if self._value is not None and not any(map(self._value.search, entry.values)):
            got = ", ".join(repr(shown(value)) for value in entry.values[:3]) or "no value"
            return f"expect {self.expect!r} does not match: got {got}"
        return None

    def _judge(self, found: _Found, result: Result) -> str:
        ours = result.code == ldap_message.SIZE_LIMIT_EXCEEDED and 0 < self._limit <= found.seen
        enough = ours and ldap_message.result_name(ldap_message.SUCCESS) in self.result
        name = ldap_message.result_name(ldap_message.SUCCESS if enough else result.code)
        if name not in self.result:
            raise CheckFailed(Reason.UNEXPECTED, f"search: got {result}, want {', '.join(self.result)}")
        if found.count < self._least or (self.max_entries is not None and found.count > self.max_entries):
            raise CheckFailed(Reason.UNEXPECTED, f"got {found}, want {self._wanted()}{found.why()}")
        return f"{name}, {found}{' and more' if enough else ''}"

    def _wanted(self) -> str:
        if self.max_entries is None:
            return f"{self._least} or more"
        return f"{self.max_entries}" if self._least == self.max_entries else f"{self._least} to {self.max_entries}"


@dataclass(slots=True)
class _Found:
    """What a search found so far. count: entries that count, of all that were seen. miss: why the first one does not.

    referred: where the server said that more may be found.
    """

    seen: int = 0
    count: int = 0
    miss: str | None = None
    referred: tuple[bytes, ...] = ()

    def add(self, miss: str | None) -> None:
        self.seen += 1
        self.count += miss is None
        self.miss = self.miss or miss

    def __str__(self) -> str:
        if self.count == self.seen:
            return f"{self.count} {'entry' if self.count == 1 else 'entries'}"
        return f"{self.count} matching {'entry' if self.count == 1 else 'entries'} of {self.seen}"

    def why(self) -> str:
        """What else there is to say of a failure."""
        miss = f": {self.miss}" if self.miss else ""
        return miss + (f"; referred to {shown(b' '.join(self.referred))}" if self.referred else "")


def _answer(reader: Reader, number: int, most: int) -> Generator[Step, Any, Answer]:
    """The next answer to a request of ours."""
    while True:
        answer = yield from ldap_message.read_answer(reader, most)
        if (why := ldap_message.disconnection_of(answer)) is not None:
            raise CheckFailed(Reason.UNEXPECTED, f"server disconnects: {why}")
        if answer.number == number:
            return answer
        if answer.number != 0:
            raise CheckFailed(Reason.PROTOCOL, f"got {answer} to message {answer.number}, want one to {number}")
        most -= _FRAMING + len(answer.body)


def _leave() -> Generator[Step, Any, None]:
    """Say good-bye. Whether that arrives does not matter: the verdict is out."""
    with suppress(CheckFailed):
        yield _UNBIND
