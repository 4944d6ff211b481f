"""UDP and ICMP conversations on loopback: answers find their own question, and so do errors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from healthd.check import CheckFailed, Datagram, Outcome, Reason, Receive, Send, Target, Verdict
from healthd.prober.ask import ask
from healthd.prober.echo import checksum
from tests.prober.patience import late
from tests.prober.stage import stage
from tests.prober.talk import Ping, Steps, Udp
from tests.support import servers

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
PORTS = pytest.mark.parametrize("own_port", [True, False], ids=["own port", "shared port"])
AMPLE = 20.0

needs_raw = pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs CAP_NET_RAW")


async def verdict(check, target, within=AMPLE):
    return (await ask(check, target, within))[0]


@FAMILIES
@PORTS
async def test_a_datagram_goes_there_and_back(family, own_port):
    with servers.answering(lambda data: [data], family) as server:
        assert (await verdict(Udp(own_port=own_port), server.target)).detail == "hello"


@FAMILIES
@PORTS
async def test_a_closed_port_is_refused_at_once(family, own_port):
    said = await verdict(Udp(own_port=own_port), servers.refusing(family, socket.SOCK_DGRAM))
    assert said == Verdict(Outcome.FAIL, Reason.REFUSED, "connection refused")


@PORTS
async def test_silence_times_out(own_port):
    with servers.answering(lambda data: []) as server:
        said, within = await late(Udp(own_port=own_port), server.target)
    assert said == Verdict(Outcome.FAIL, Reason.TIMEOUT, f"no answer within {within}; sent 5 bytes")


@PORTS
async def test_answers_to_others_are_passed_over_and_none_is_lost(own_port):
    with servers.answering(lambda data: [b"not yours", b"nor this", data + b" you"]) as server:
        assert (await verdict(Udp(own_port=own_port), server.target)).detail == "hello you"


@PORTS
async def test_an_empty_datagram_is_an_answer(own_port):
    def talk(target):
        yield Datagram(own_port=own_port)
        yield Send(b"x")
        return repr((yield Receive()))

    with servers.answering(lambda data: [b""]) as server:
        assert (await verdict(Steps(talk), server.target)).detail == "b''"


async def test_shared_sockets_take_turns_and_own_ones_differ():
    with servers.answering(lambda data: [data]) as server:
        async with stage() as prober:
            for n in range(12):
                await prober.once(Udp(own_port=False), server.target, n)
    assert len(set(server.ports)) == 4


async def test_on_shared_sockets_only_the_closed_ports_conversation_is_refused():
    with servers.answering(lambda data: [data]) as server:
        closed = servers.refusing(kind=socket.SOCK_DGRAM)
        checks = [(Udp(b"%d" % n, b"%d" % n, own_port=False), closed if n % 2 else server.target) for n in range(60)]
        async with stage() as prober:
            said = await prober.all(checks)
    for n, one in enumerate(said):
        assert one.reason is (Reason.REFUSED if n % 2 else Reason.OK), (n, one)


async def test_two_conversations_with_one_server_on_a_shared_port_get_both_answers():
    with servers.answering(lambda data: [data]) as server:
        checks = [(Udp(b"%03d" % n, b"%03d" % n, own_port=False), server.target) for n in range(40)]
        async with stage() as prober:
            said = await prober.all(checks)
    assert [one.detail for one in said] == [f"{n:03d}" for n in range(40)]


@PORTS
async def test_a_conversation_may_try_again_after_an_error(own_port):
    def stubborn(target):
        for _ in range(3):
            yield Datagram(own_port=own_port)
            try:
                yield Send(b"x")
                yield Receive()
            except CheckFailed:
                continue
        return "three times"

    target = servers.refusing(kind=socket.SOCK_DGRAM)
    assert (await verdict(Steps(stubborn), target)).detail == "three times"


async def test_a_datagram_that_is_too_long_says_nothing_about_the_server():
    with servers.answering(lambda data: [data]) as server:
        said = await verdict(Udp(b"x" * 70_000), server.target)
    assert said.outcome is Outcome.INCONCLUSIVE


# --- ICMP ---


@needs_raw
@FAMILIES
async def test_loopback_answers_an_echo(family):
    target = servers.refusing(family)
    assert (await verdict(Ping(), target)).detail == "alive"


@needs_raw
async def test_many_echoes_at_once_each_get_their_own_reply():
    base = int(IPv4Address("127.20.0.1"))
    checks = [(Ping(b"%d" % n * (n + 1)), Target(IPv4Address(base + n), 0)) for n in range(300)]
    async with stage() as prober:
        said = await prober.all(checks)
    assert {one.outcome for one in said} == {Outcome.PASS}


@needs_raw
async def test_an_echo_from_a_source_address_works():
    target = Target(IPv4Address("127.0.0.1"), 0, source=IPv4Address("127.0.0.9"))
    assert (await verdict(Ping(), target)).outcome is Outcome.PASS


@pytest.mark.parametrize(("data", "total"), [(b"", 0xFFFF), (b"\0\1\xf2\3\xf4\xf5\xf6\xf7", 0x220D), (b"\xff", 0x00FF)])
def test_the_internet_checksum_is_that_of_rfc_1071(data, total):
    assert checksum(data) == total


UNPRIVILEGED = """
import asyncio, os, sys
from ipaddress import ip_address
sys.path.insert(0, {root!r})
from healthd.check import Target
from healthd.prober.ask import ask
from tests.prober.talk import Ping
os.setgroups([]); os.setgid(65534); os.setuid(65534)
verdict, _ = asyncio.run(ask(Ping(), Target(ip_address({address!r}), 0), 20.0))
print(verdict.outcome.value, verdict.detail)
"""


@needs_raw
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("allowed", [True, False])
def test_without_privilege_the_kernels_ping_socket_is_used_or_the_remedy_named(address, allowed, tmp_path):
    program = tmp_path / "ping.py"
    root = str(Path.cwd())
    program.write_text(UNPRIVILEGED.format(root=root, address=address))
    tmp_path.chmod(0o755)
    span = "0 2147483647" if allowed else "1 0"
    script = f'ip link set lo up && echo {span} > /proc/sys/net/ipv4/ping_group_range && exec "$0" "$1"'
    command = ["unshare", "--net", "sh", "-c", script, sys.executable, str(program)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare" in ran.stderr:
        pytest.skip("no network namespaces here")
    expected = (
        "pass alive" if allowed else "inconclusive ICMP needs CAP_NET_RAW, or our group in net.ipv4.ping_group_range"
    )
    assert ran.stdout.strip() == expected, ran.stderr
