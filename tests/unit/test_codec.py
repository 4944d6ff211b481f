"""The codec: everything of the model survives it, and the bytes are those of the kernel.

Samples were recorded from Linux 6.1. Several tests are named after traps of other IPVS libraries.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.ipvs.codec import (
    UnknownToModel,
    encode,
    parse_connections,
    parse_counters,
    parse_dest,
    parse_service,
)
from healthd.ipvs.codec_globals import Info, parse_daemon, parse_info, parse_timeouts
from healthd.ipvs.uapi import Command, Daemon, Dst, Svc, Top
from healthd.ipvs.wire import attribute, attributes, nested
from healthd.model import (
    AddressKey,
    Checksum,
    Connections,
    Counters,
    DestKey,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Protocol,
    SchedulerFlag,
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
from tests.support.ipvs_records import attr, dest_attributes, u32
from tests.support.ipvs_values import DAEMONS, DEST_KEYS, DEST_SPECS, SERVICE_KEYS, SERVICES

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.1"), 80)
WEB6 = AddressKey(Protocol.TCP, ip_address("fd00::1"), 80)
MARK6 = FwmarkKey(Family.IPV6, 7)
DEST = DestKey(ip_address("10.9.0.1"), 80)
GATE = DestSpec(Forwarding.GATE, 5)

# A service of Linux 6.1: -t 10.0.0.1:80 -s wlc -p 300 -M 255.255.255.0 --pe sip; the stats after it are left out.
SERVICE = bytes.fromhex(
    "060001000200000006000200060000001400030"
    "00a00000100000000000000000000000006000400005000"
    "0008000600776c630008000b00736970000c00070003000000ffffffff080008002c01000008000900ffffff00"
)
# -a -t 10.0.0.1:80 -r [fd00::5]:80 -i --tun-type gue --tun-port 6080 --tun-csum -w 1 -x 10 -y 5
DESTINATION = bytes.fromhex(
    "14000100fd000000000000000000000000000005060002000050000008000300020000000800040001000000"
    "05000d000100000006000e0017c0000006000f0001000000080005000a000000080006000500000008000700"
    "000000000800080000000000080009000000000006000b000a000000"
)


def _service_attributes(body):
    return attributes(attributes(body)[Top.SERVICE])


def _dest_attributes(body):
    return attributes(attributes(body)[Top.DEST])


# --- everything survives ---------------------------------------------------------------------------------------


@given(SERVICES)
def test_every_service_survives(service):
    for operation in (AddService(*service), SetService(*service)):
        assert parse_service(encode(operation)[1])[:2] == service


@given(SERVICE_KEYS, DEST_KEYS, DEST_SPECS)
def test_every_destination_survives(service, key, spec):
    for operation in (AddDest(service, key, spec), SetDest(service, key, spec)):
        assert parse_dest(_dest_attributes(encode(operation)[1]), service.family) == (key, spec)


@given(DAEMONS)
def test_every_daemon_survives(daemon):
    assert parse_daemon(encode(StartSync(daemon))[1]) == daemon


@given(st.builds(Timeouts, *([st.none() | st.integers(1, 2_000_000)] * 3)))
def test_all_timeouts_survive(timeouts):
    assert parse_timeouts(encode(SetTimeouts(timeouts))[1]) == timeouts


@given(DEST_KEYS, DEST_SPECS)
def test_what_the_kernel_reports_is_what_was_meant(key, spec):
    attrs = attributes(dest_attributes(key, spec, connections=(1, 2, 3), totals=tuple(range(1, 11))))
    assert parse_dest(attrs, Family.IPV4) == (key, spec)
    assert parse_connections(attrs) == Connections(1, 2, 3, Counters(*range(1, 11)))


# --- known bytes -----------------------------------------------------------------------------------------------


def test_a_recorded_service_is_understood():
    key, spec, _ = parse_service(attribute(Top.SERVICE, SERVICE))
    assert key == WEB
    assert spec == ServiceSpec("wlc", persistence=Persistence(300, 24), engine="sip")


def test_a_recorded_destination_is_understood():
    tunnel = Tunnel(Encapsulation.GUE, 6080, Checksum.CSUM)
    expected = (DestKey(ip_address("fd00::5"), 80), DestSpec(Forwarding.IPIP, 1, 10, 5, tunnel))
    assert parse_dest(attributes(DESTINATION), Family.IPV4) == expected


def test_the_bytes_of_a_new_destination_are_these():
    command, body = encode(AddDest(WEB, DEST, GATE))
    assert command == Command.NEW_DEST
    assert body.hex() == (
        "30000180"
        "0600010002000000" + "0600020006000000" + "140003000a000001000000000000000000000000" + "0600040000500000"
        "48000280"
        "06000b0002000000" + "140001000a090001000000000000000000000000" + "0600020000500000"
        "0800030003000000" + "0800040005000000" + "0800050000000000" + "0800060000000000"
    )


# --- oddities of the kernel --------------------------------------------------------------------------------------


def test_the_hashed_flag_is_not_ours():
    assert struct.unpack_from("=I", attributes(SERVICE)[Svc.FLAGS])[0] & 2
    assert parse_service(attribute(Top.SERVICE, SERVICE))[1].flags is SchedulerFlag.NONE


@pytest.mark.parametrize(("prefix", "mask"), [(32, "255.255.255.255"), (24, "255.255.255.0"), (1, "128.0.0.0")])
def test_an_ipv4_netmask_is_a_mask_in_network_order(prefix, mask):
    spec = ServiceSpec("rr", persistence=Persistence(1, prefix))
    assert _service_attributes(encode(AddService(WEB, spec))[1])[Svc.NETMASK] == ip_address(mask).packed


def test_an_ipv6_netmask_is_a_length_in_host_order_and_always_there():
    for key in (WEB6, MARK6):
        for persistence, length in ((None, 128), (Persistence(1, 64), 64)):
            body = encode(AddService(key, ServiceSpec("rr", persistence=persistence)))[1]
            assert _service_attributes(body)[Svc.NETMASK] == struct.pack("=I", length)


@pytest.mark.parametrize("mask", ["255.0.255.0", "0.0.0.0", "0.0.0.1", "254.255.255.255"])
def test_a_netmask_that_is_no_prefix_is_read_as_none(mask):
    body = encode(AddService(WEB, ServiceSpec("rr", persistence=Persistence(1, 32))))[1]
    changed = body.replace(attr(Svc.NETMASK, b"\xff" * 4), attr(Svc.NETMASK, ip_address(mask).packed))
    assert parse_service(changed)[1].persistence == Persistence(1, None)


def test_timeout_and_netmask_of_a_service_without_persistence_mean_nothing():
    foreign = nested(
        Top.SERVICE,
        *(
            attr(kind, data)
            for kind, data in _service_attributes(encode(AddService(WEB, ServiceSpec("rr")))[1]).items()
            if kind not in (Svc.TIMEOUT, Svc.NETMASK)
        ),
        u32(Svc.TIMEOUT, 360),
        attr(Svc.NETMASK, ip_address("255.255.0.0").packed),
    )
    assert parse_service(foreign)[1] == ServiceSpec("rr")


def test_a_tunnels_port_is_in_network_order():
    spec = DestSpec(Forwarding.IPIP, 1, tunnel=Tunnel(Encapsulation.GUE, 6080))
    assert _dest_attributes(encode(AddDest(WEB, DEST, spec))[1])[Dst.TUN_PORT] == (6080).to_bytes(2, "big")


def test_tunnel_attributes_are_sent_only_where_they_mean_something():
    tunnel = {Dst.TUN_TYPE, Dst.TUN_PORT, Dst.TUN_FLAGS}
    for how in Forwarding:
        assert not tunnel & _dest_attributes(encode(AddDest(WEB, DEST, DestSpec(how, 1)))[1]).keys()
    gre = DestSpec(Forwarding.IPIP, 1, tunnel=Tunnel(Encapsulation.GRE))
    assert tunnel <= _dest_attributes(encode(AddDest(WEB, DEST, gre))[1]).keys()


def test_what_the_kernel_says_of_a_tunnel_is_dropped_where_it_means_nothing():
    left_over = Tunnel(Encapsulation.GUE, 6080, Checksum.CSUM)
    for how in set(Forwarding) - {Forwarding.IPIP}:
        attrs = attributes(dest_attributes(DEST, DestSpec(how, 1, tunnel=left_over)))
        assert parse_dest(attrs, Family.IPV4)[1] == DestSpec(how, 1)
    gre = attributes(dest_attributes(DEST, DestSpec(Forwarding.IPIP, 1, tunnel=Tunnel(Encapsulation.GRE, 6080))))
    assert parse_dest(gre, Family.IPV4)[1].tunnel == Tunnel(Encapsulation.GRE)


def test_an_old_kernel_does_not_say_a_destinations_family():
    for key, family in ((DEST, Family.IPV4), (DestKey(ip_address("fd00::5"), 80), Family.IPV6)):
        attrs = attributes(dest_attributes(key, GATE))
        for kind in (Dst.ADDR_FAMILY, Dst.TUN_TYPE, Dst.TUN_PORT, Dst.TUN_FLAGS, Dst.STATS64):
            del attrs[kind]
        assert parse_dest(attrs, family) == (key, GATE)
        assert parse_counters(attrs) == Counters()


def test_counters_are_of_64_bits_where_the_kernel_has_them():
    large = tuple((1 << 40) + at for at in range(10))
    attrs = attributes(dest_attributes(DEST, GATE, totals=large))
    assert parse_counters(attrs) == Counters(*large)
    del attrs[Dst.STATS64]
    assert parse_counters(attrs).in_bytes == large[3]
    assert parse_counters(attrs).connections == large[0] & 0xFFFFFFFF


def test_old_kernels_report_three_fields_of_a_daemon():
    body = nested(Top.DAEMON, u32(Daemon.STATE, 2), attr(Daemon.MCAST_IFN, b"eth0\0"), u32(Daemon.SYNC_ID, 9))
    assert parse_daemon(body) == SyncDaemon(SyncState.BACKUP, "eth0", 9)


@pytest.mark.parametrize(
    ("attributes_", "says"),
    [
        ({Svc.AF: b"\x10\0", Svc.FWMARK: b"\1\0\0\0"}, "address family 16"),
        ({Svc.AF: b"\2\0", Svc.PROTOCOL: b"\x2f\0"}, "IP protocol 47"),
    ],
)
def test_a_service_that_the_model_has_no_word_for_is_named(attributes_, says):
    with pytest.raises(UnknownToModel, match=says):
        parse_service(nested(Top.SERVICE, *(attr(kind, data) for kind, data in attributes_.items())))


def test_a_destination_that_the_model_has_no_word_for_is_named():
    attrs = attributes(dest_attributes(DEST, GATE))
    with pytest.raises(UnknownToModel, match="a destination with 7 is not a valid Forwarding"):
        parse_dest({**attrs, Dst.FWD_METHOD: struct.pack("=I", 7)}, Family.IPV4)
    with pytest.raises(UnknownToModel, match="3 is not a valid Encapsulation"):
        parse_dest({**attrs, Dst.FWD_METHOD: struct.pack("=I", 2), Dst.TUN_TYPE: b"\3"}, Family.IPV4)


# --- traps of others ---------------------------------------------------------------------------------------------


def test_a_change_is_never_sent_as_a_deletion():
    assert encode(SetService(WEB, ServiceSpec("rr")))[0] == 2
    assert encode(SetDest(WEB, DEST, GATE))[0] == 6
    assert [encode(DelService(WEB))[0], encode(DelDest(WEB, DEST))[0]] == [3, 7]


def test_every_field_is_sent_every_time_and_flags_replace_those_before():
    service = {Svc.SCHED_NAME, Svc.FLAGS, Svc.TIMEOUT, Svc.NETMASK}
    dest = {Dst.FWD_METHOD, Dst.WEIGHT, Dst.U_THRESH, Dst.L_THRESH, Dst.ADDR_FAMILY}
    for key in (WEB, WEB6, MARK6):
        attrs = _service_attributes(encode(SetService(key, ServiceSpec("rr")))[1])
        assert service <= attrs.keys()
        assert attrs[Svc.FLAGS] == struct.pack("=II", 0, 0xFFFFFFFF)
        assert dest <= _dest_attributes(encode(SetDest(key, DEST, GATE))[1]).keys()


def test_a_service_by_mark_has_its_family_and_no_address():
    attrs = _service_attributes(encode(AddService(MARK6, ServiceSpec("rr")))[1])
    assert attrs[Svc.AF] == struct.pack("=H", 10)
    assert attrs[Svc.FWMARK] == struct.pack("=I", 7)
    assert not {Svc.PROTOCOL, Svc.ADDR, Svc.PORT} & attrs.keys()


def test_masquerading_is_sent_as_such_though_it_is_zero():
    attrs = _dest_attributes(encode(AddDest(WEB, DEST, DestSpec(Forwarding.MASQ, 0)))[1])
    assert attrs[Dst.FWD_METHOD] == bytes(4)
    assert parse_dest(attrs, Family.IPV4)[1].forwarding is Forwarding.MASQ


def test_timeouts_are_plain_numbers():
    assert encode(SetTimeouts(Timeouts(900, None, 300))) == (
        Command.SET_CONFIG,
        u32(Top.TIMEOUT_TCP, 900) + u32(Top.TIMEOUT_UDP, 300),
    )


def test_a_daemon_is_stopped_by_its_state():
    assert encode(StopSync(SyncState.BACKUP)) == (Command.DEL_DAEMON, nested(Top.DAEMON, u32(Daemon.STATE, 2)))


def test_a_daemons_port_is_in_host_order_unlike_all_others():
    body = encode(StartSync(SyncDaemon(SyncState.MASTER, "eth0", port=8848)))[1]
    assert attributes(attributes(body)[Top.DAEMON])[Daemon.MCAST_PORT] == struct.pack("=H", 8848)


def test_the_answer_to_get_info_has_numbers_of_its_own():
    recorded = bytes.fromhex("08000100010201000800020000100000")
    assert parse_info(recorded) == Info((1, 2, 1), 4096)


def test_no_message_is_built_by_a_general_library():
    code = "import sys, healthd.ipvs.kernel; sys.exit('pyroute2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
