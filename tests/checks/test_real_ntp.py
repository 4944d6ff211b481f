"""ntp against a real chrony: synchronised (to itself), not synchronised, closed to us, stopped and gone."""

from __future__ import annotations

import signal

import pytest

from checks.ntp import NtpCheck
from healthd.check import Outcome, Reason
from tests.checks.servers import both
from tests.checks.servers_ntp import chrony
from tests.checks.wayward import SHORT, verdict_of

pytestmark = pytest.mark.real


async def test_a_synchronised_server_passes_until_it_is_stopped():
    with chrony("allow", "local stratum 3") as served:
        for target in both(served.port):
            verdict = await verdict_of(NtpCheck(max_stratum=3, max_distance=5.0), target)
            assert verdict.outcome is Outcome.PASS
            assert verdict.detail.startswith("stratum 3, root distance 0.")
            too_far = await verdict_of(NtpCheck(max_stratum=2), target)
            assert (too_far.reason, too_far.detail) == (Reason.UNEXPECTED, "got stratum 3, want 2 or less")
        served.process.send_signal(signal.SIGSTOP)
        try:
            assert (await verdict_of(NtpCheck(), target, SHORT)).reason is Reason.TIMEOUT
        finally:
            served.process.send_signal(signal.SIGCONT)
        assert (await verdict_of(NtpCheck(), target)).outcome is Outcome.PASS
    for target in both(served.port):
        assert (await verdict_of(NtpCheck(), target)).reason is Reason.REFUSED


async def test_a_server_that_has_no_time_itself_fails():
    with chrony("allow") as served:
        for target in both(served.port):
            verdict = await verdict_of(NtpCheck(), target)
            assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
            assert verdict.detail == "server is not synchronised (leap 3, stratum 0)"


async def test_a_server_that_may_not_answer_us_is_silent():
    with chrony("local stratum 3", "allow 192.0.2.0/24", "allow 2001:db8::/32") as served:
        for target in both(served.port):
            assert (await verdict_of(NtpCheck(), target, SHORT)).reason is Reason.TIMEOUT
