"""What stands in a mail: golden texts, subjects of many, and that no text can forge a line or a header."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.config.schema import Stage
from healthd.events import Event, Kind
from healthd.hooks.letter import for_mailer, letter
from healthd.hooks.mail_words import About, Scene, body, commands, kind_of, subject, worth_sending

from .samples import sample

BERLIN = timezone(timedelta(hours=1))
PLAIN = Scene("lb1.example.org", Stage.RUNNING, {}, BERLIN)
SHOP = Scene("lb1.example.org", Stage.RELOADING, {"www": About("The shop", "ask Ann\nor Bob")}, BERLIN)
NOW = datetime(2026, 11, 22, 3, 12, 45, tzinfo=UTC)
DOWN, UP = sample(Kind.SERVER_DOWN), sample(Kind.SERVER_UP)
STILL = replace(DOWN, previous="down", message="www: 10.0.0.11:80 is still down, for 2 h now, weight 0")


def rack(number, service="www"):
    return [replace(DOWN, service=service, real=f"10.0.1.{n}:80", message=f"{service}: {n}") for n in range(number)]


def test_the_mail_of_one_event():
    assert subject([DOWN], SHOP) == ("[The shop] www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0")
    assert (
        body([DOWN], SHOP)
        == """\
healthd host:   lb1.example.org
Log-Message:    [The shop] www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0
Daemon-Status:  reloading

Time:           2026-11-22 04:12:44 +0100
Service name:   The shop
Service:        www, 192.0.2.80:80/tcp
Server:         10.0.0.11:80
State:          up -> down
Reason:         timeout
Detail:         no answer within 1 s
Table:          weight 0
Done:           set 10.0.0.11:80 of 192.0.2.80:80/tcp forward=gate weight=0
Comment:        ask Ann
                or Bob

To see more:
  healthd status www
  healthd probe www 10.0.0.11:80
"""
    )


def test_the_mail_of_a_service_that_people_have_no_words_for():
    assert (
        body([sample(Kind.FALLBACK_ON)], PLAIN)
        == """\
healthd host:   lb1.example.org
Log-Message:    www: fallback 127.0.0.1:8080 takes over
Daemon-Status:  running

Time:           2026-11-22 04:12:44 +0100
Service:        www, 192.0.2.80:80/tcp
Server:         127.0.0.1:8080
Table:          weight 1
Done:           add 127.0.0.1:8080 to 192.0.2.80:80/tcp forward=masq weight=1

To see more:
  healthd status www
"""
    )


def test_the_mail_of_several_events_of_several_services():
    events = [
        DOWN,
        sample(Kind.SERVICE_DOWN),
        sample(Kind.FALLBACK_ON),
        replace(DOWN, service="dns", virtual="192.0.2.53:53/udp", message="dns: 10.0.0.53:53 is down, weight 0"),
    ]
    assert subject(events, SHOP) == "1 service without a server, 2 servers down, 1 fallback in: www, dns"
    assert (
        body(events, SHOP)
        == """\
healthd host:   lb1.example.org
Log-Message:    1 service without a server, 2 servers down, 1 fallback in: www, dns
Daemon-Status:  reloading

Service name:   The shop
Service:        www, 192.0.2.80:80/tcp
  2026-11-22 04:12:44 +0100  www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0
  2026-11-22 04:12:44 +0100  www: 192.0.2.80:80/tcp has no usable server
  2026-11-22 04:12:44 +0100  www: fallback 127.0.0.1:8080 takes over
Comment:        ask Ann
                or Bob

Service:        dns, 192.0.2.53:53/udp
  2026-11-22 04:12:44 +0100  dns: 10.0.0.53:53 is down, weight 0

To see more:
  healthd status www dns
"""
    )


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (rack(40), "[The shop] 40 servers down: www"),
        ([*rack(3), UP], "[The shop] 3 servers down, 1 server up: www"),
        ([STILL, *rack(2)], "[The shop] 2 servers down, 1 server still down: www"),
        (rack(1) + rack(1, "a") + rack(1, "b") + rack(1, "c"), "4 servers down: www, a, b and 1 more"),
        ([sample(Kind.DRIFT), DOWN], "[The shop] 1 server down, 1 drift: www"),
        ([STILL], "[The shop] www: 10.0.0.11:80 is still down, for 2 h now, weight 0"),
    ],
)
def test_the_subject_says_how_many_of_what(events, told):
    assert subject(events, SHOP) == told


def test_a_subject_has_an_end():
    assert len(subject([replace(DOWN, message="x" * 5000)], SHOP)) == 200


def test_every_kind_can_be_mailed():
    for kind in Kind:
        event = sample(kind)
        assert event.message in body([event], PLAIN)
        assert str(subject([event, event], PLAIN)).startswith("2 ")


def test_reminders_that_something_newer_outdates_are_left_out():
    other = replace(STILL, real="10.0.0.12:80")
    assert worth_sending([STILL, other, STILL]) == (other, STILL)
    assert worth_sending([STILL, UP]) == (UP,)
    assert worth_sending([DOWN, UP, DOWN]) == (DOWN, UP, DOWN)
    assert (kind_of(STILL), kind_of(DOWN)) == ("server-still-down", "server-down")


def test_what_can_be_typed_is_safe_to_be_pasted():
    """A service may be called anything that is printable."""
    evil = replace(DOWN, service="a; rm -rf /")
    assert commands([evil])[0] == "healthd status 'a; rm -rf /'"


def lines_of(mail):
    """The text of a mail, line by line."""
    return mail.get_content().replace("\r\n", "\n").removesuffix("\n").split("\n")


# --- headers ----------------------------------------------------------------------------------------------------


def test_the_headers():
    mail = letter([DOWN, UP], SHOP, "Load balancer <lb@example.org>", ("root", "ops@example.org"), NOW)
    parsed = message_from_bytes(mail.as_bytes(), policy=default)
    assert parsed["From"] == "Load balancer <lb@example.org>"
    assert parsed["To"] == "root, ops@example.org"
    assert parsed["Subject"] == "[The shop] 1 server down, 1 server up: www"
    assert parsed["Date"] == "Sun, 22 Nov 2026 03:12:45 +0000"
    assert parsed["Message-ID"].endswith(".healthd@lb1.example.org>")
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["X-Healthd-Kind"] == "server-down, server-up"
    assert parsed.get_content_type() == "text/plain"
    assert lines_of(parsed) == body([DOWN, UP], SHOP).splitlines()


def test_two_mails_have_two_ids():
    ids = {letter([DOWN], SHOP, "a@b", ("c@d",), NOW)["Message-ID"] for _ in range(2)}
    assert len(ids) == 2


TEXT = st.text(max_size=60) | st.sampled_from(
    ["x\r\nBcc: evil@example.org\r\n\r\nx", "\n.\n", "\r", "\x85", "\u2028\u202e", "\0"]
)
EVENTS = st.builds(
    Event,
    kind=st.sampled_from(list(Kind)),
    at=st.floats(0, 4e9),
    message=TEXT,
    service=TEXT,
    virtual=TEXT,
    real=TEXT,
    previous=TEXT,
    phase=TEXT,
    reason=TEXT,
    detail=TEXT,
    weight=st.none() | st.integers(0, 65535),
    effect=st.lists(TEXT, max_size=3).map(tuple),
)
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Healthd-Kind"]
OF_BODY = ["Content-Type", "Content-Transfer-Encoding", "MIME-Version"]


@given(events=st.lists(EVENTS, min_size=1, max_size=4), host=TEXT, title=TEXT, comment=TEXT)
def test_no_text_adds_a_header_or_forges_a_line_of_the_body(events, host, title, comment):
    about = {event.service: About(title, comment) for event in events}
    scene = Scene(host, Stage.RUNNING, about)
    mail = letter(events, scene, "healthd@lb1.example.org", ("ops@example.org",), NOW)
    for text in (mail.as_bytes(), for_mailer(mail, ())):
        parsed = message_from_bytes(text, policy=default)
        assert sorted(parsed.keys()) == sorted(HEADERS + OF_BODY)
        assert parsed["To"] == "ops@example.org"
        assert parsed["From"] == "healthd@lb1.example.org"
        assert parsed["Subject"].isprintable()
        assert text.isascii()
        assert max(map(len, text.splitlines())) < 998  # RFC 5322, 2.1.1
        written = lines_of(parsed)
        assert all(line.isprintable() for line in written)
        assert written == body(events, scene).splitlines()
        assert sum(line.startswith("Daemon-Status:") for line in written) == 1
