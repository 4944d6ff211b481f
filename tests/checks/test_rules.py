"""The rules of options: what is refused, in words an operator can use, and what is accepted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import rules
from checks.http_request import followed, name_of
from healthd.check import Tls
from healthd.registry import check_class, names


def rule_of(kind: str, option: str) -> Any:
    owner = Tls if kind == "tls" else check_class(kind)
    (field,) = [f for f in dataclasses.fields(owner) if f.name == option]
    return field.metadata["rule"]


WRONG: list[tuple[str, str, Any, str]] = [
    ("http", "method", "get", "must be a method such as GET or HEAD, got 'get'"),
    ("http", "method", "", "must be a method"),
    ("http", "method", "GE T", "must be a method"),
    ("http", "method", "CONNECT", "opens a tunnel"),
    ("http", "path", "healthz", "must begin with '/'"),
    ("http", "path", "", "must begin with '/'"),
    ("http", "path", "/a b", "visible ASCII"),
    ("http", "path", "/ä", "visible ASCII"),
    ("http", "path", "/a#b", "visible ASCII"),
    ("http", "path", "/a\r\nX: y", "visible ASCII"),
    ("http", "path", "http://", "must begin with '/'"),
    ("http", "path", "ftp://x/", "must begin with '/'"),
    ("http", "host", "a/b", "must be a name or address"),
    ("http", "host", "", "must be a name or address"),
    ("http", "host", "bücher.example", "xn--"),
    ("http", "host", "a\r\nb", "must be a name or address"),
    ("http", "host", "2001:db8::1", "must be a name or address"),
    ("http", "host", "a:b", "must be a name or address"),
    ("http", "host", ":80", "must be a name or address"),
    ("http", "host", "a..b", "must be a host name"),
    ("http", "host", "x" * 64 + ".example", "must be a host name"),
    ("http", "headers", (("A b", "c"),), "'A b' is not the name of a header"),
    ("http", "headers", (("A", "b\r\nC: d"),), "A must not contain control characters"),
    ("http", "headers", (("Host", "x"),), "use the option `host`"),
    ("http", "headers", (("content-length", "3"),), "use the option `body`"),
    ("http", "headers", (("Transfer-Encoding", "chunked"),), "cannot be set here"),
    ("http", "username", "a:b", "must not contain ':'"),
    ("http", "username", "a\n", "must not contain control characters"),
    ("http", "status", (), "must name at least one"),
    ("http", "status", ("99",), "'99' is not within 100-999"),
    ("http", "status", ("200-1000",), "not within 100-999"),
    ("http", "status", ("300-200",), "not within"),
    ("http", "status", ("0xx",), "not within"),
    ("http", "status", ("2x",), "neither a number nor a range such as 200-299 or 2xx"),
    ("http", "status", ("-200",), "neither a number"),
    ("http", "expect", "(", "is not a regular expression: missing ), unterminated subpattern at position 0 in '('"),
    ("http", "reject", "a{99999999999}", "is not a usable regular expression"),
    ("http", "max_body", 0, "must be 1 to 67108864, got 0"),
    ("http", "redirects", 21, "must be 0 to 20, got 21"),
    ("http", "reuse", -1, "must be 0 to 1000000, got -1"),
    ("tcp", "expect_hex", "0", "pairs of hex digits"),
    ("tcp", "expect_hex", "gg", "pairs of hex digits"),
    ("tcp", "max_bytes", 0, "must be 1 to"),
    ("udp", "payload", b"x" * 65508, "must fit into one datagram of 65507 bytes, got 65508"),
    ("tls", "server_name", "", "must be a host name"),
    ("tls", "server_name", ".example", "must be a host name"),
    ("tls", "server_name", "a b", "must be a host name in ASCII"),
    ("tls", "min_days", -1, "must not be negative, got -1"),
    ("tls", "alpn", ("",), "'' is not the name of an application protocol"),
    ("ping", "size", 65508, "must be 0 to 65507"),
    ("ping", "count", 0, "must be 1 to 100"),
    ("dns", "name", "a..b", "'a..b' is not a domain name"),
    ("dns", "record", "AXFR", "cannot be asked for"),
    ("dns", "expect", "(?L)a", "bad inline flags"),
    ("script", "command", "check.sh", "must be an absolute path"),
    ("script", "command", "/a\0b", "zero byte"),
    ("script", "args", ("{vip}",), "{vip} in '{vip}' is not one of {address}"),
    ("script", "args", ("{port!r}",), "{port!r} in '{port!r}' is not one of"),
    ("script", "args", ("{port:>9}",), "{port:>9} in '{port:>9}' is not one of"),
    ("script", "args", ("{port.real}",), "{port.real} in"),
    ("script", "args", ("{",), "a brace itself is written twice"),
    ("script", "args", ("a\0b",), "zero byte"),
    ("script", "env", (("A-B", "c"),), "'A-B' is not the name of a variable"),
    ("script", "env", (("HEALTHD_PORT", "1"),), "are set by healthd"),
    ("script", "env", (("A", "\0"),), "zero byte"),
    ("script", "user", "", "must not be empty"),
    ("script", "user", "a\nb", "must not contain control characters"),
    ("script", "pass_codes", ("256",), "not within 0-255"),
    ("pgsql", "user", " ", "must not be empty"),
    ("pgsql", "query", "", "must not be empty"),
    ("pgsql", "query", "SELECT '\0'", "zero byte"),
]


@pytest.mark.parametrize(("kind", "option", "value", "text"), WRONG)
def test_a_wrong_value_is_refused_in_clear_words(kind: str, option: str, value: Any, text: str):
    with pytest.raises(ValueError, match=r".") as refused:
        rule_of(kind, option)(value)
    assert text in str(refused.value)


RIGHT: list[tuple[str, str, Any]] = [
    ("http", "path", "/"),
    ("http", "path", "/a/b?c=d&e=%20;x='y'"),
    ("http", "path", "*"),
    ("http", "path", "https://proxied.example:8443/x?y"),
    ("http", "host", "[2001:db8::1]:8080"),
    ("http", "host", "xn--bcher-kva.example"),
    ("http", "headers", (("X-A", "b\tc ä"), ("Connection", "Upgrade"))),
    ("http", "method", "PROPFIND"),
    ("http", "status", ("2xx", "3XX", " 404 ", "500 - 503")),
    ("http", "host", "10.0.0.1"),
    ("http", "host", "a_b.example.:80"),
    ("tls", "server_name", "2001:db8::1"),
    ("tls", "server_name", "www.example.com."),
    ("tcp", "expect_hex", ""),
    ("tcp", "expect_hex", "00:Xf aX\nXX"),
    ("dns", "name", "."),
    ("dns", "name", "_sip._tcp.bücher.example"),
    ("dns", "record", "type65280"),
    ("script", "args", ("{{}}", "-p{port}", "{address}{host}")),
    ("script", "inconclusive_codes", ()),
]


@pytest.mark.parametrize(("kind", "option", "value"), RIGHT)
def test_a_right_value_is_kept_as_it_is(kind: str, option: str, value: Any):
    assert rule_of(kind, option)(value) == value


def test_a_key_needs_its_certificate():
    with pytest.raises(ValueError, match="key_file needs cert_file"):
        Tls(key_file="/k")


def test_every_default_passes_its_own_rule():
    for kind in names():
        for field in dataclasses.fields(check_class(kind)):
            rule = field.metadata.get("rule")
            if rule is not None and field.default is not dataclasses.MISSING:
                assert rule(field.default) == field.default, (kind, field.name)


def complaint(rule: Any, value: Any) -> str:
    """What a rule says against a value; nothing if it keeps it."""
    try:
        kept = rule(value)
    except ValueError as error:
        return str(error)
    assert kept == value
    return ""


SHAPES: dict[str, Any] = {
    "str": lambda text: text,
    "str | None": lambda text: text,
    "tuple[str, ...]": lambda text: (text,),
    "tuple[tuple[str, str], ...]": lambda text: ((text, text),),
}


@given(st.text(max_size=30))
def test_rules_of_texts_raise_nothing_but_value_errors_of_one_line(text: str):
    for kind in names():
        for field in dataclasses.fields(check_class(kind)):
            if field.metadata.get("rule") is not None and str(field.type) in SHAPES:
                assert "\n" not in complaint(field.metadata["rule"], SHAPES[str(field.type)](text))


@given(st.lists(st.integers(0, 999)), st.integers(0, 999), st.integers(0, 999))
def test_numbers_and_ranges_mean_what_they_say(single: list[int], first: int, last: int):
    texts = [*map(str, single), f"{min(first, last)}-{max(first, last)}"]
    assert rules.numbers(texts, 0, 999) == {*single, *range(min(first, last), max(first, last) + 1)}


@given(st.binary(max_size=20), st.binary(max_size=5), st.data())
def test_a_mask_matches_the_bytes_it_was_made_of(wanted: bytes, more: bytes, data: st.DataObject):
    digits = list(wanted.hex())
    for place in data.draw(st.sets(st.integers(0, max(0, len(digits) - 1)))) if digits else ():
        digits[place] = "X"
    pattern, size = rules.mask_pattern("".join(digits))
    assert size == len(wanted)
    assert pattern.search(wanted + more)
    if wanted and "X" not in digits:
        assert not pattern.search(b"\0" + wanted) or wanted[0] == 0
        assert not pattern.search(wanted[:-1])


@given(st.text(max_size=60), st.booleans())
def test_no_location_leads_to_another_host_or_breaks_the_request(location: str, secure: bool):
    onward = followed(location, "/a/b?c", secure, "www.example.com")
    if onward is not None:
        rule_of("http", "path")(onward)
        assert onward.startswith("/")


def test_names_are_taken_from_hosts():
    hosts = {"a.example": "a.example", "a.example:80": "a.example", "[::1]": "::1", "[::1]:80": "::1"}
    assert {host: name_of(host) for host in hosts} == hosts
