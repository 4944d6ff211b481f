"""Contract of an IPVS table: each operation has its own answer, and one that is refused stops no other."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from healthd.ipvs.base import RowRefused
from healthd.model import (
    AddressKey,
    DestKey,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Protocol,
    ServiceSpec,
    SyncDaemon,
    SyncState,
    Timeouts,
    Tunnel,
)
from healthd.ops import (
    AddDest,
    AddService,
    DelDest,
    DelService,
    SetDest,
    SetService,
    SetTimeouts,
    StartSync,
    StopSync,
)

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
WEB6 = AddressKey(Protocol.TCP, ip_address("fd00::80"), 80)
MISSING = AddressKey(Protocol.UDP, ip_address("10.0.0.80"), 80)
A, B, C = (DestKey(ip_address(f"10.1.0.{last}"), 80) for last in (1, 2, 3))
A6 = DestKey(ip_address("fd01::1"), 80)
RR = ServiceSpec("rr")
MASQ = DestSpec(Forwarding.MASQ, 1)


@pytest.fixture
async def web(place):
    """A table with one service and destination A."""
    await place.do(AddService(WEB, RR), AddDest(WEB, A, MASQ))
    return place


async def test_what_is_there_cannot_be_added(web):
    assert await web.codes(AddService(WEB, RR), AddDest(WEB, A, MASQ)) == [errno.EEXIST, errno.EEXIST]


async def test_what_is_missing_cannot_be_changed_or_deleted(web):
    operations = [SetService(MISSING, RR), DelService(MISSING), SetDest(WEB, B, MASQ), DelDest(WEB, B)]
    assert await web.codes(*operations) == [errno.ESRCH, errno.ESRCH, errno.ENOENT, errno.ENOENT]


async def test_destinations_of_a_missing_service_are_refused(web):
    operations = [AddDest(MISSING, A, MASQ), SetDest(MISSING, A, MASQ), DelDest(MISSING, A)]
    assert await web.codes(*operations) == [errno.ESRCH] * 3


async def test_refused_rows_in_the_middle_of_a_batch_stop_no_other(web):
    operations = [
        AddDest(WEB, B, MASQ),
        AddDest(WEB, A, MASQ),
        DelDest(WEB, C),
        AddDest(WEB, DestKey(ip_address("10.1.0.9"), 80), DestSpec(Forwarding.MASQ, -1)),
        SetDest(MISSING, A, MASQ),
        SetDest(WEB, A, DestSpec(Forwarding.GATE, 9)),
        AddDest(WEB, C, MASQ),
    ]
    assert await web.codes(*operations) == [0, errno.EEXIST, errno.ENOENT, errno.ERANGE, errno.ESRCH, 0, 0]
    dests = (await web.table.snapshot()).services[WEB].dests
    assert dests == {A: DestSpec(Forwarding.GATE, 9), B: MASQ, C: MASQ}


async def test_each_of_many_refusals_names_its_own_row(web):
    dests = [DestKey(ip_address("10.2.0.0") + at, 80) for at in range(1, 501)]
    await web.do(*(AddDest(WEB, dest, MASQ) for dest in dests[::2]))
    answers = await web.table.apply([AddDest(WEB, dest, MASQ) for dest in dests])
    refused = [answer for answer in answers if answer is not None]
    assert [answer.op.dest for answer in refused] == dests[::2]
    assert all(answer.is_conflict and answer.code == errno.EEXIST for answer in refused)
    assert len((await web.table.snapshot()).services[WEB].dests) == 501


async def test_rows_that_somebody_else_took_away_are_conflicts(web):
    await web.do(AddDest(WEB, B, MASQ))
    await web.stranger(DelDest(WEB, A))
    answers = await web.table.apply([SetDest(WEB, A, MASQ), SetDest(WEB, B, MASQ)])
    assert isinstance(answers[0], RowRefused)
    assert answers[0].is_conflict
    assert answers[1] is None
    await web.stranger(DelService(WEB))
    assert await web.codes(SetDest(WEB, B, MASQ), DelService(WEB)) == [errno.ESRCH, errno.ESRCH]
    assert (await web.table.snapshot()).services == {}


@pytest.mark.timeout(600)
async def test_an_unknown_scheduler_or_engine_names_the_module_to_load(place):
    wanted = [
        AddService(WEB, ServiceSpec("nosuch")),
        AddService(WEB, ServiceSpec("rr", persistence=Persistence(1, 32), engine="nosuch")),
        AddService(WEB, RR),
        SetService(WEB, ServiceSpec("nosuch")),
    ]
    answers = await place.table.apply(wanted)
    assert [answer and answer.code for answer in answers] == [errno.ENOENT, errno.ENOENT, None, errno.ENOENT]
    assert not any(answer.is_conflict for answer in answers if answer)
    assert "modprobe ip_vs_nosuch" in str(answers[0])
    assert "ip_vs_pe_nosuch" in str(answers[1])
    assert (await place.table.snapshot()).services[WEB].spec == RR


async def test_the_other_ip_version_needs_a_tunnel(web):
    for how in (Forwarding.MASQ, Forwarding.GATE, Forwarding.LOCAL):
        assert await web.codes(AddDest(WEB, A6, DestSpec(how, 1))) == [errno.EINVAL]
    await web.do(AddDest(WEB, A6, DestSpec(Forwarding.IPIP, 1)))
    assert await web.codes(SetDest(WEB, A6, MASQ)) == [errno.EINVAL]
    await web.do(DelDest(WEB, A6))


async def test_addresses_that_are_not_unicast_are_refused(place):
    await place.do(AddService(WEB, RR), AddService(WEB6, RR))
    bad = [DestKey(ip_address(text), 80) for text in ("224.0.0.1", "255.255.255.255", "0.0.0.0")]
    bad6 = [DestKey(ip_address(text), 80) for text in ("ff02::1", "fe80::1", "::")]
    operations = [AddDest(WEB, dest, MASQ) for dest in bad] + [AddDest(WEB6, dest, MASQ) for dest in bad6]
    answers = await place.table.apply(operations)
    assert [answer and answer.code for answer in answers] == [errno.EINVAL] * 6
    assert "224.0.0.1 is not a unicast address" in str(answers[0])


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        (AddDest(WEB, B, DestSpec(Forwarding.MASQ, -1)), errno.ERANGE, "weight -1 is not in 0..65535"),
        (AddDest(WEB, B, DestSpec(Forwarding.MASQ, 70000)), errno.ERANGE, "weight 70000"),
        (AddDest(WEB, B, DestSpec(Forwarding.MASQ, 1, 5, 6)), errno.ERANGE, "lower threshold 6 is not in 0..5"),
        (AddDest(WEB, B, DestSpec(Forwarding.MASQ, 1, 1 << 31)), errno.ERANGE, "upper threshold"),
        (AddDest(WEB, DestKey(B.address, 65536), MASQ), errno.EINVAL, "port 65536"),
        (AddDest(WEB, B, DestSpec(Forwarding.IPIP, 1, tunnel=Tunnel(Encapsulation.GUE))), errno.EINVAL, "GUE port 0"),
        (AddService(AddressKey(Protocol.TCP, WEB.address, -1), RR), errno.EINVAL, "port -1"),
        (AddService(FwmarkKey(Family.IPV4, 0), RR), errno.EINVAL, "firewall mark 0"),
        (AddService(MISSING, ServiceSpec("rr", persistence=Persistence(0, 32))), errno.EINVAL, "timeout 0"),
        (AddService(MISSING, ServiceSpec("rr", persistence=Persistence(1, 33))), errno.EINVAL, "prefix 33"),
        (AddService(MISSING, ServiceSpec("rr", persistence=Persistence(1, None))), errno.EINVAL, "no prefix"),
        (AddService(MISSING, ServiceSpec("a-name-that-is-too-long")), errno.EINVAL, "1..15"),
        (AddService(MISSING, ServiceSpec("wlc\0")), errno.EINVAL, "1..15"),
        (SetTimeouts(Timeouts(tcp=0)), errno.EINVAL, "tcp timeout 0"),
        (SetTimeouts(Timeouts(udp=1 << 31)), errno.EINVAL, "udp timeout"),
        (StartSync(SyncDaemon(SyncState.MASTER, "sync0", 256)), errno.EINVAL, "sync id 256"),
        (StartSync(SyncDaemon(SyncState.MASTER, "", 1)), errno.EINVAL, "interface"),
        (
            StartSync(SyncDaemon(SyncState.MASTER, "sync0", group=ip_address("10.0.0.1"))),
            errno.EINVAL,
            "not a multicast",
        ),
    ],
)
async def test_values_out_of_range_are_refused_in_words(web, operation, code, says):
    before = await web.table.snapshot()
    (answer,) = await web.table.apply([operation])
    assert isinstance(answer, RowRefused)
    assert answer.code == code
    assert not answer.is_conflict
    assert says in str(answer)
    assert await web.table.snapshot() == before


async def test_a_daemon_that_does_not_run_cannot_be_stopped(place):
    assert await place.codes(StopSync(SyncState.MASTER), StopSync(SyncState.BACKUP)) == [errno.ESRCH, errno.ESRCH]
