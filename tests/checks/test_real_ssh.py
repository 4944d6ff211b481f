"""ssh against a real OpenSSH."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from checks.ssh import SshCheck
from healthd.check import Outcome, Reason, Target
from tests.checks.servers import both
from tests.checks.servers_ssh import Sshd, sshd
from tests.checks.silence import silenced
from tests.checks.wayward import verdict_of

SHORT = 0.5
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def openssh() -> Iterator[Sshd]:
    with sshd() as served:
        yield served


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("check", [SshCheck(), SshCheck("^OpenSSH_"), SshCheck(key_exchange=True)])
async def test_it_says_who_it_is(openssh: Sshd, check: SshCheck, family: int):
    verdict = await verdict_of(check, both(openssh.port)[family])
    assert verdict.outcome is Outcome.PASS
    assert verdict.detail.startswith("OpenSSH_")


async def test_other_software_than_wanted_fails(openssh: Sshd):
    verdict = await verdict_of(SshCheck("dropbear"), both(openssh.port)[0])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)


async def test_probes_leave_no_complaint_in_the_servers_log(openssh: Sshd):
    """Each is told as a client that left in order, not as one that broke off or spoke something else."""
    before = len(openssh.log.read_text())
    for check in (SshCheck(), SshCheck(key_exchange=True)):
        assert (await verdict_of(check, both(openssh.port)[0])).outcome is Outcome.PASS
    async with asyncio.timeout(20):
        while openssh.log.read_text()[before:].count("11: health check") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    log = openssh.log.read_text()[before:]
    assert [word for word in ("banner", "identification", "Bad packet", "error", "invalid") if word in log] == []


async def _first_client(target: Target) -> asyncio.StreamWriter:
    """Connect as soon as the server has let go of those who only looked whether it is there."""
    async with asyncio.timeout(20):
        while True:
            reader, writer = await asyncio.open_connection(str(target.address), target.port)
            if (await reader.readline()).startswith(b"SSH-2.0-"):
                return writer
            writer.close()
            await asyncio.sleep(0.05)


async def test_a_server_that_has_too_many_clients_fails_and_may_say_so():
    with sshd("MaxStartups 1\nLoginGraceTime 60") as served:
        target = both(served.port)[0]
        writer = await _first_client(target)
        verdict = await verdict_of(SshCheck(), target)
        writer.close()
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (Reason.PROTOCOL, Reason.RESET)


@pytest.mark.parametrize("family", [0, 1])
async def test_a_server_that_hangs_or_is_gone_fails(family: int):
    with sshd() as served:
        target = both(served.port)[family]
        with silenced(served.process):
            hangs = await verdict_of(SshCheck(), target, SHORT)
        assert (hangs.outcome, hangs.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        assert (await verdict_of(SshCheck(), target)).outcome is Outcome.PASS
    assert (await verdict_of(SshCheck(), target)).reason is Reason.REFUSED
