"""Contract of an IPVS table: its timeouts and its synchronisation daemons."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import ip_address

from healthd.model import (
    AddressKey,
    DestKey,
    DestSpec,
    Forwarding,
    Protocol,
    ServiceSpec,
    SyncDaemon,
    SyncState,
    Timeouts,
)
from healthd.ops import AddDest, AddService, DelDest, SetTimeouts, StartSync, StopSync

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
TUNNELLED = AddDest(WEB, DestKey(ip_address("fd01::1"), 80), DestSpec(Forwarding.IPIP, 1))


async def _sync(place):
    return (await place.table.snapshot()).sync


async def test_timeouts_are_read(place):
    assert (await place.table.snapshot()).timeouts == Timeouts(tcp=900, tcp_fin=120, udp=300)


async def test_one_timeout_can_be_set_and_the_others_stay(place):
    await place.do(SetTimeouts(Timeouts(tcp_fin=33)))
    assert (await place.table.snapshot()).timeouts == Timeouts(900, 33, 300)
    await place.do(SetTimeouts(Timeouts(tcp=1, udp=100_000)))
    assert (await place.table.snapshot()).timeouts == Timeouts(1, 33, 100_000)


async def test_no_timeout_at_all_changes_nothing(place):
    await place.do(SetTimeouts(Timeouts()))
    assert (await place.table.snapshot()).timeouts == Timeouts(900, 120, 300)


async def test_a_daemon_starts_and_shows_what_it_was_told(place):
    told = SyncDaemon(SyncState.MASTER, place.interface, 7, 1400, ip_address("239.1.2.3"), 9000, 5)
    assert await _sync(place) == ()
    await place.do(StartSync(told))
    assert await _sync(place) == (told,)


async def test_what_is_not_told_takes_the_kernels_defaults(place):
    await place.do(StartSync(SyncDaemon(SyncState.BACKUP, place.interface, 255)))
    (daemon,) = await _sync(place)
    assert daemon.max_length > 0
    expected = SyncDaemon(SyncState.BACKUP, place.interface, 255, daemon.max_length, ip_address("224.0.0.81"), 8848, 1)
    assert daemon == expected


async def test_a_daemon_can_use_an_ipv6_group(place):
    told = SyncDaemon(SyncState.MASTER, place.interface, 1, 1300, ip_address("ff05::51"), 8849, 2)
    await place.do(StartSync(told))
    assert await _sync(place) == (told,)


async def test_master_and_backup_run_side_by_side_and_stop_one_by_one(place):
    master = SyncDaemon(SyncState.MASTER, place.interface, 1, 1400, ip_address("224.0.0.81"), 8848, 1)
    backup = replace(master, state=SyncState.BACKUP, sync_id=2)
    await place.do(StartSync(backup), StartSync(master))
    assert await _sync(place) == (master, backup)
    await place.do(StopSync(SyncState.MASTER))
    assert await _sync(place) == (backup,)
    await place.do(StopSync(SyncState.BACKUP))
    assert await _sync(place) == ()


async def test_a_daemon_can_be_stopped_as_soon_as_it_is_started(place):
    """Linux does not acknowledge the end of a daemon that has not yet run."""
    for state in (SyncState.MASTER, SyncState.BACKUP):
        start, stop = StartSync(SyncDaemon(state, place.interface, 1)), StopSync(state)
        await place.do(*(start, stop) * 10)
        assert await _sync(place) == ()


async def test_a_daemon_starts_once_and_on_an_interface_that_is_there(place):
    there = SyncDaemon(SyncState.MASTER, place.interface, 1)
    operations = [StartSync(replace(there, interface="nosuch0")), StartSync(there), StartSync(there)]
    answers = await place.table.apply(operations)
    assert [answer and answer.code for answer in answers] == [errno.ENODEV, None, errno.EEXIST]
    assert "no interface nosuch0" in str(answers[0])


async def test_daemons_and_destinations_of_the_other_ip_version_exclude_each_other(place):
    start = StartSync(SyncDaemon(SyncState.MASTER, place.interface, 1))
    await place.do(AddService(WEB, ServiceSpec("rr")), TUNNELLED)
    assert await place.codes(start) == [errno.EINVAL]
    await place.do(DelDest(WEB, TUNNELLED.dest), start)
    assert await place.codes(TUNNELLED) == [errno.EINVAL]
