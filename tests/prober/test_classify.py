"""Which errors are the server's and which are ours, and that every one of ours names a remedy."""

from __future__ import annotations

import errno
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.check import CheckFailed, Inconclusive, Reason
from healthd.prober.classify import came_back, refused_here, tls_failure

THEIRS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.RESET,
    errno.EPIPE: Reason.RESET,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.EACCES: Reason.UNREACHABLE,
}
OURS = [
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EADDRNOTAVAIL,
    errno.EADDRINUSE,
    errno.EPERM,
    errno.EACCES,
    errno.EAGAIN,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
]


@pytest.mark.parametrize(("code", "reason"), THEIRS.items())
def test_what_came_back_from_the_network_fails_the_server(code, reason):
    said = came_back(code, "asking")
    assert isinstance(said, CheckFailed)
    assert said.reason is reason


@pytest.mark.parametrize("code", OURS)
def test_what_our_kernel_refused_says_nothing_about_the_server_and_names_a_remedy(code):
    said = refused_here(code, "connecting")
    assert isinstance(said, Inconclusive)
    assert said.detail.startswith("connecting: ")
    assert len(said.detail) > len("connecting: ") + 20


def test_a_refusal_at_once_is_the_servers():
    assert isinstance(refused_here(errno.ECONNREFUSED, "connecting"), CheckFailed)


@given(st.integers(0, 200))
def test_every_errno_means_something_and_none_fails_a_server_as_local(code):
    for said in (came_back(code, "x"), refused_here(code, "x")):
        assert said.detail
        assert isinstance(said, Inconclusive) or said.reason is not Reason.LOCAL


def test_openssls_names_are_made_readable():
    error = ssl.SSLError(1, "made by hand")
    assert "made by hand" in tls_failure(error).detail
    for reason, words in {"WRONG_VERSION_NUMBER": "not TLS", "SOME_NEW_THING": "some new thing"}.items():
        error.reason = reason
        assert words in tls_failure(error).detail
