"""mysql by transcripts: every way to log in, with and without TLS.

MySQL 8 and its caching_sha2_password are played here, from their documentation: Debian has MariaDB only.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from checks.mysql import MysqlCheck
from healthd.check import Connect, Outcome, Reason, Send, StartTls, Tls
from tests.checks.harness import END, RESET, Item, Player, Sent, passed, play, stream
from tests.checks.played_mysql import (
    CACHING,
    JOE,
    LET_IN,
    NATIVE,
    OK,
    SCRAMBLE,
    SET,
    SSL,
    caching,
    error,
    hello,
    login,
    native,
    packet,
    packets,
    result,
    row,
    verdict_for,
    xor,
)


def test_the_native_proof_is_the_one_of_the_documentation():
    """SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password))), by hand for one known pair."""
    stored = bytes.fromhex("14E65567ABDB5135D0CFD9A70B3032C179A49EE7")  # PASSWORD('secret') of any server
    assert hashlib.sha1(hashlib.sha1(b"secret").digest()).digest() == stored
    proof = native(b"secret")
    assert hashlib.sha1(xor(proof, hashlib.sha1(SCRAMBLE + stored).digest())).digest() == stored


def test_a_database_is_named_at_login():
    check = replace(JOE, database="app")
    sent = login(b"joe", native(b"secret"), NATIVE, database=b"app")
    assert passed(verdict_for(check, hello(), Sent(sent), LET_IN, SET, result(row(b"1"))))


def test_a_server_may_switch_to_another_way_to_log_in():
    switch = packet(2, b"\xfe" + CACHING.encode() + b"\0" + SCRAMBLE[::-1] + b"\0")
    proof = Sent(packet(3, caching(b"secret", SCRAMBLE[::-1])))
    script = (hello("client_ed25519"), Sent(login(b"joe", native(b"secret"), NATIVE)), switch, proof)
    assert passed(verdict_for(JOE, *script, packets(4, b"\1\3", OK), SET, result(row(b"1"))))
    refused = verdict_for(JOE, *script, packet(4, error(1045, "28000", "Access denied")))
    assert (refused.reason, refused.detail) == (Reason.UNEXPECTED, "Access denied (1045)")


def test_no_password_is_an_empty_proof():
    switch = packet(2, b"\xfe" + CACHING.encode() + b"\0" + SCRAMBLE + b"\0")
    script = (hello(), Sent(login(b"joe", b"", NATIVE)), switch, Sent(packet(3, b"")), packet(4, OK), SET)
    assert passed(verdict_for(MysqlCheck("joe"), *script, result(row(b"1"))))


TLS = Tls(server_name="db.example")


def tls_request(turn: int = 1) -> bytes:
    return packet(turn, login(b"", b"", "", extra=SSL)[4:36])


def test_what_the_server_has_not_in_its_cache_it_is_told_over_tls_only():
    over_tls = (hello(CACHING), Sent(tls_request() + login(b"joe", caching(b"secret"), CACHING, 2, SSL)))
    script = (*over_tls, packet(3, b"\1\4"), Sent(packet(4, b"secret\0")), packet(5, OK), SET, result(row(b"1")))
    check = replace(JOE, tls=TLS)
    assert passed(verdict_for(check, *script))
    player = Player([stream(*script)])
    player.play(check)
    assert player.steps[:4:3] == [Connect(), StartTls(TLS)]
    assert Send(packet(4, b"secret\0"), b"secret") in player.steps
    plain = verdict_for(JOE, hello(CACHING), packet(2, b"\1\4"), END)
    assert plain.reason is Reason.UNEXPECTED
    assert "has the password not in its cache (caching_sha2_password): set tls, or" in plain.detail


@pytest.mark.parametrize("plugin", ["sha256_password", "mysql_clear_password"])
def test_a_password_in_clear_is_for_tls_only(plugin: str):
    def switch(turn: int) -> bytes:
        return packet(turn, b"\xfe" + plugin.encode() + b"\0" + SCRAMBLE + b"\0")

    plain = verdict_for(JOE, hello(), switch(2), END)
    assert plain.detail == f"the server wants the password in clear ({plugin}): set tls"
    script = (hello(), lambda _: switch(3), Sent(packet(4, b"secret\0")), packet(5, OK), SET, result(row(b"1")))
    assert passed(verdict_for(replace(JOE, tls=TLS), *script))


@pytest.mark.parametrize(
    ("greeting", "reason", "detail"),
    [
        (hello(capabilities=0xFFFFFFFF ^ SSL), Reason.TLS, "the server does not offer TLS"),
        (hello() + b"more", Reason.PROTOCOL, "the server talks on before TLS"),
    ],
)
def test_tls_that_is_not_to_be_had_fails(greeting: bytes, reason: Reason, detail: str):
    verdict = play(replace(JOE, tls=TLS), stream(greeting))
    assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.FAIL, reason, detail)


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (packet(2, error(1045, "28000", "Access denied")), Reason.UNEXPECTED, "Access denied (1045)"),
        (packet(2, error(1049, "42000", "Unknown database")), Reason.UNEXPECTED, "Unknown database (1049)"),
        (packet(2, b"\xfe"), Reason.UNEXPECTED, "passwords of MySQL 4.0"),
        (packet(2, b"\xfeclient_ed25519\0" + SCRAMBLE), Reason.UNEXPECTED, "the server asks for: client_ed25519"),
        (packet(2, b"\xfewhat"), Reason.PROTOCOL, "cannot be read"),
        (packet(2, b"\1\3"), Reason.PROTOCOL, "an answer to a login that cannot be read"),
        (packet(3, OK), Reason.PROTOCOL, "packet number 3, want 2"),
        (packet(2, b""), Reason.PROTOCOL, "a packet of 0 bytes"),
        (b"\xff\xff\xff\2", Reason.PROTOCOL, "a packet of 16777215 bytes"),
        (END, Reason.PROTOCOL, "connection closed without an answer"),
    ],
)
def test_a_login_that_comes_to_nothing(answer: bytes, reason: Reason, detail: str):
    verdict = verdict_for(JOE, hello(), lambda _: answer, END)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)
    assert detail in verdict.detail


@pytest.mark.parametrize(
    ("greeting", "asked", "detail"),
    [
        (hello(), b"\xfeclient_ed25519\0" + SCRAMBLE + b"\0", "the way the server asks for: client_ed25519"),
        (hello(), b"\xfesha256_password\0" + SCRAMBLE + b"\0", "wants the password in clear"),
        (hello(CACHING), b"\1\4", "has the password not in its cache"),
    ],
)
@pytest.mark.parametrize("end", [packet(4, error(1045, "28000", "Access denied")), packet(4, OK), END, RESET])
def test_who_cannot_log_in_that_way_hears_the_refusal(greeting: bytes, asked: bytes, detail: str, end: Item):
    """Servers block a host after many handshakes that were interrupted (max_connect_errors)."""
    script = (greeting, lambda _: packet(2, asked), Sent(packet(3, b"\0")), end)
    verdict = verdict_for(JOE, *script)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert detail in verdict.detail


@pytest.mark.parametrize("body", [b"\1\5", b"\1", b"\xfe" + CACHING.encode() + b"\0" + SCRAMBLE, b"\1\4"])
def test_caching_takes_no_other_answer(body: bytes):
    assert verdict_for(JOE, hello(CACHING), lambda _: packets(2, body, OK)).outcome is Outcome.FAIL
