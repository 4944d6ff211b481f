"""Options that are secret are in nothing that people or logs get to see."""

from __future__ import annotations

import dataclasses

import pytest

from healthd.check import Send
from healthd.prober.trace import trace_text
from healthd.prober.transcript import Kind, Line, Recorder, Transcript
from healthd.registry import check_class, names

WORD = "xyzzy"
NEEDED = {
    "http_proxy": {"url": "http://a.example/", "username": "joe"},
    "ldap": {"user": "cn=joe"},
    "radius": {"secret": "s", "user": "joe"},
    "memcached": {"user": "joe"},
    "mqtt": {"user": "joe"},
    "http": {"username": "joe"},
    "pgsql": {"user": "joe"},
    "mysql": {"user": "joe"},
    "oracle": {"user": "joe", "service": "app"},
    "nntp": {"user": "joe"},
    "smtp": {"user": "joe"},
    "imap": {"user": "joe"},
    "pop": {"user": "joe"},
}


def secrets() -> list[tuple[str, str]]:
    """Kind and name of every secret option."""
    fields = ((kind, field) for kind in names() for field in dataclasses.fields(check_class(kind)))
    return [(kind, field.name) for kind, field in fields if field.metadata.get("secret")]


def test_there_are_some():
    assert ("http", "password") in secrets()
    assert ("pgsql", "password") in secrets()


@pytest.mark.parametrize(("kind", "name"), secrets())
def test_a_check_shows_everything_but_its_secrets(kind, name):
    """Tracebacks and reports of faults show checks."""
    check = check_class(kind)(**NEEDED.get(kind, {}) | {name: WORD})
    assert getattr(check, name) == WORD
    assert WORD not in repr(check)


def test_a_transcript_does_not_show_credentials():
    request = b"GET / HTTP/1.1\r\nAuthorization: Basic am9lOnh5enp5\r\nHost: a\r\n\r\n"
    text = trace_text(Transcript((Line(0.0, Kind.SENT, "", request),), 0.0))
    assert "Authorization: Basic ********" in text
    assert "am9l" not in text
    assert "Host: a" in text


def test_a_transcript_does_not_show_what_a_check_hides():
    recorder = Recorder(lambda: 0.0)
    recorder.wanted(Send(b"AUTH joe xyzzy\r\n", hide=b"xyzzy"))
    recorder.wanted(Send(b"PING\r\n"))
    text = trace_text(recorder.finish())
    assert "AUTH joe ***" in text
    assert "PING" in text
    assert "xyzzy" not in text
