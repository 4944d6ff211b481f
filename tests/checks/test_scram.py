"""SCRAM-SHA-256 by the example of RFC 7677, and what it must not accept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.scram import MOST_ROUNDS, Proof, Scram, prepared
from healthd.check import CheckFailed, Reason

PENCIL = Scram("user", "pencil", b"rOprNGfwEbeRWgbNEkqO")
NONCE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CHALLENGE = NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
LAST = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_example_of_the_rfc():
    proof = PENCIL.answer(CHALLENGE)
    assert PENCIL.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert proof.message == b"c=biws," + NONCE + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert proof.secret == b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    proof.accept(LAST)


@pytest.mark.parametrize(
    ("challenge", "reason", "detail"),
    [
        (b"", Reason.PROTOCOL, "not an answer to ours"),
        (b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", Reason.PROTOCOL, "not an answer to ours"),
        (b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", Reason.PROTOCOL, "not an answer to ours"),
        (NONCE + b",s=,i=4096", Reason.PROTOCOL, "not an answer to ours"),
        (NONCE + b",s=?,i=4096", Reason.PROTOCOL, "'?' is not base64"),
        (NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0", Reason.PROTOCOL, "'0' rounds"),
        (NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1", Reason.PROTOCOL, "'-1' rounds"),
        (NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=600001", Reason.PROTOCOL, "'600001' rounds"),
        (NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=" + b"9" * 5000, Reason.PROTOCOL, f"not 1 to {MOST_ROUNDS}"),
        (b"m=x," + CHALLENGE, Reason.PROTOCOL, "an extension"),
        (b"e=unknown-user", Reason.UNEXPECTED, "'unknown-user'"),
    ],
)
def test_a_challenge_that_is_none_fails(challenge: bytes, reason: Reason, detail: str):
    with pytest.raises(CheckFailed) as failure:
        PENCIL.answer(challenge)
    assert failure.value.reason is reason
    assert detail in failure.value.detail


@pytest.mark.parametrize("last", [b"", b"v=", b"v=AAAA", b"x", LAST[:-2], b"e=other-error", b"v=!"])
def test_a_server_that_does_not_know_the_password_fails(last: bytes):
    with pytest.raises(CheckFailed):
        PENCIL.answer(CHALLENGE).accept(last)


@given(st.binary(max_size=200))
def test_junk_is_a_failure_and_nothing_else(junk: bytes):
    for read in (PENCIL.answer, Proof(b"", b"", b"x").accept, lambda data: PENCIL.answer(NONCE + b"," + data)):
        with pytest.raises(CheckFailed):
            read(junk)


def test_a_name_cannot_end_its_field():
    assert Scram("a,b=c", "", b"N").first() == b"n,,n=a=2Cb=3Dc,r=N"


@pytest.mark.parametrize(
    ("password", "sent"),
    [
        ("pencil", "pencil"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("gr\u00fcn", "gr\u00fcn"),
        ("gru\u0308n", "gr\u00fcn"),
        ("\u06271", "\u06271"),  # ends in another direction than it begins: forbidden, so left alone
        ("\u0627\u2168", "\u0627\u2168"),
        ("\u0627\u00ad\u0627", "\u0627\u0627"),
        ("\u00ad", "\u00ad"),  # nothing would be left
        ("\u0221", "\u0221"),  # was not assigned in Unicode 3.2
        ("\u2168\ufffd", "\u2168\ufffd"),
    ],
)
def test_passwords_are_prepared_as_rfc_4013_says(password: str, sent: str):
    assert prepared(password) == sent
