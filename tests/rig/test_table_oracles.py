"""The kernel's table as healthd writes and reads it, held against ipvsadm, pyroute2's decoder and /proc/net/ip_vs.

None of the three knows our codec. What ipvsadm 1.31 cannot say in `-Sn` (thresholds, local and bypass rows) is asked
for in other ways.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from healthd.ipvs.kernel import KernelTable
from healthd.model import (
    AddressKey,
    Checksum,
    DestKey,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceSpec,
    SyncDaemon,
    SyncState,
    Timeouts,
    Tunnel,
)
from healthd.ops import AddDest, AddService, SetTimeouts, StartSync, StopSync
from tests.rig import ipvsadm
from tests.rig.ipvsadm import Row

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
WEB6 = AddressKey(Protocol.TCP, ip_address("fd00::80"), 80)
DNS = AddressKey(Protocol.UDP, ip_address("10.0.0.53"), 53)
SIP = AddressKey(Protocol.UDP, ip_address("10.0.0.53"), 5060)
SIGNAL = AddressKey(Protocol.SCTP, ip_address("10.0.0.53"), 2905)
MARK, MARK6 = FwmarkKey(Family.IPV4, 7), FwmarkKey(Family.IPV6, 7)


def _dest(text, port=80):
    return DestKey(ip_address(text), port)


def _ipip(weight, *tunnel):
    return DestSpec(Forwarding.IPIP, weight, tunnel=Tunnel(*tunnel))


TABLE = {
    WEB: Service(
        ServiceSpec("sh", SchedulerFlag(0x18), Persistence(300, 24)),
        {
            _dest("10.1.0.1"): DestSpec(Forwarding.MASQ, 5, 10, 5),
            _dest("10.1.0.2"): DestSpec(Forwarding.GATE, 0),
            _dest("10.1.0.3"): _ipip(65535),
            _dest("10.1.0.4"): _ipip(1, Encapsulation.GUE, 6080, Checksum.CSUM),
            _dest("10.1.0.5"): _ipip(1, Encapsulation.GRE),
            _dest("10.1.0.6"): _ipip(1, Encapsulation.GUE, 6081, Checksum.REMCSUM),
            _dest("fd01::7"): _ipip(2),
        },
    ),
    WEB6: Service(ServiceSpec("mh", SchedulerFlag.SCHED2, Persistence(60, 64)), {_dest("fd01::1"): _ipip(3)}),
    DNS: Service(ServiceSpec("rr", one_packet=True), {_dest("10.1.0.1", 5353): DestSpec(Forwarding.MASQ, 1)}),
    SIP: Service(ServiceSpec("rr", persistence=Persistence(60, 32), engine="sip"), {}),
    SIGNAL: Service(ServiceSpec("wlc"), {}),
    MARK: Service(ServiceSpec("wrr"), {_dest("10.1.0.1", 0): DestSpec(Forwarding.GATE, 1)}),
    MARK6: Service(ServiceSpec("mh", SchedulerFlag.SCHED1), {_dest("fd01::1", 0): DestSpec(Forwarding.GATE, 1)}),
}

SAVED = """
-A -t 10.0.0.80:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port
-a -t 10.0.0.80:80 -r 10.1.0.1:80 -m -w 5
-a -t 10.0.0.80:80 -r 10.1.0.2:80 -g -w 0
-a -t 10.0.0.80:80 -r 10.1.0.3:80 -i -w 65535 --tun-type ipip
-a -t 10.0.0.80:80 -r 10.1.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.0.0.80:80 -r 10.1.0.5:80 -i -w 1 --tun-type gre --tun-nocsum
-a -t 10.0.0.80:80 -r 10.1.0.6:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum
-a -t 10.0.0.80:80 -r [fd01::7]:80 -i -w 2 --tun-type ipip
-A -t [fd00::80]:80 -s mh -p 60 -M 64 -b mh-port
-a -t [fd00::80]:80 -r [fd01::1]:80 -i -w 3 --tun-type ipip
-A -u 10.0.0.53:53 -s rr -o
-a -u 10.0.0.53:53 -r 10.1.0.1:5353 -m -w 1
-A -u 10.0.0.53:5060 -s rr -p 60 --pe sip
-A --sctp-service 10.0.0.53:2905 -s wlc
-A -f 7 -s wrr
-a -f 7 -r 10.1.0.1:0 -g -w 1
-A -f 7 -6 -s mh -b mh-fallback
-a -f 7 -6 -r [fd01::1]:0 -g -w 1
"""
LINES = sorted(SAVED.strip().splitlines())


@pytest.fixture
async def table(namespace):
    made = KernelTable(namespace.name)
    yield made
    await made.close()


async def _write(table, wanted):
    ops = [AddService(key, service.spec) for key, service in wanted.items()]
    ops += [AddDest(key, dest, spec) for key, service in wanted.items() for dest, spec in service.dests.items()]
    assert await table.apply(ops) == [None] * len(ops)


async def test_what_we_write_is_what_ipvsadm_saves(table, namespace):
    await _write(table, TABLE)
    assert ipvsadm.saved(namespace) == LINES


async def test_what_ipvsadm_writes_is_what_we_read(table, namespace):
    ipvsadm.apply(namespace, *(line for line in SAVED.strip().splitlines() if "10.1.0.1:80" not in line))
    ipvsadm.apply(namespace, "-a -t 10.0.0.80:80 -r 10.1.0.1:80 -m -w 5 -x 10 -y 5")
    assert (await table.snapshot()).services == TABLE


async def test_a_table_that_ipvsadm_saves_and_restores_is_the_same_to_us_but_for_thresholds(table, namespace):
    wanted = {key: service for key, service in TABLE.items() if key != WEB}
    await _write(table, wanted)
    saved = ipvsadm.saved(namespace)
    ipvsadm.clear(namespace)
    assert (await table.snapshot()).services == {}
    ipvsadm.apply(namespace, *saved)
    assert (await table.snapshot()).services == wanted


async def test_oddities_that_only_others_write_have_one_form(table, namespace):
    ipvsadm.apply(
        namespace,
        "-A -t 10.0.0.80:80 -s rr -p 60 -M 255.0.255.0",
        "-A -t 10.0.0.81:80 -s wlc -b flag-1,flag-3",
        "-a -t 10.0.0.81:80 -r 10.1.0.1:80 -g -w 70000",
    )
    services = (await table.snapshot()).services
    assert services[WEB].spec.persistence == Persistence(60, None)
    other = services[AddressKey(Protocol.TCP, ip_address("10.0.0.81"), 80)]
    assert other.spec.flags == SchedulerFlag.SCHED1 | SchedulerFlag.SCHED3
    assert other.dests == {_dest("10.1.0.1"): DestSpec(Forwarding.GATE, 70000)}


async def test_thresholds_are_what_ipvsadm_lists(table, namespace):
    await _write(table, {WEB: TABLE[WEB]})
    listed = namespace.run("ipvsadm", "-Ln", "--thresholds")
    (line,) = [line for line in listed.splitlines() if "10.1.0.1:80" in line]
    assert line.split()[2:4] == ["10", "5"]


async def test_local_and_bypass_rows_are_what_proc_shows(table, namespace):
    dests = {_dest("10.1.0.1"): DestSpec(Forwarding.LOCAL, 4), _dest("10.1.0.2"): DestSpec(Forwarding.GATE, 5)}
    await _write(table, {WEB: Service(ServiceSpec("rr"), dests)})
    rows = ipvsadm.rows(namespace)["TCP 10.0.0.80:80"]
    assert rows == {"10.1.0.1:80": Row("Local", 4, 0, 0), "10.1.0.2:80": Row("Route", 5, 0, 0)}


async def test_timeouts_are_what_ipvsadm_shows(table, namespace):
    await table.apply([SetTimeouts(Timeouts(tcp=100, udp=50))])
    assert namespace.run("ipvsadm", "-L", "--timeout").strip() == "Timeout (tcp tcpfin udp): 100 120 50"
    namespace.run("ipvsadm", "--set", "0", "33", "0")
    assert (await table.snapshot()).timeouts == Timeouts(100, 33, 50)


async def test_daemons_are_what_ipvsadm_shows_and_stops(table, namespace):
    namespace.ip("link add name sync0 type dummy", "link set dev sync0 up", "addr add 10.77.0.1/24 dev sync0")
    daemon = SyncDaemon(SyncState.MASTER, "sync0", 7, 1400, ip_address("239.1.2.3"), 9000, 5)
    assert await table.apply([StartSync(daemon)]) == [None]
    shown = "master sync daemon (mcast=sync0, syncid=7, maxlen=1400, group=239.1.2.3, port=9000, ttl=5)"
    assert namespace.run("ipvsadm", "-L", "--daemon").strip() == shown
    namespace.run("ipvsadm", "--stop-daemon", "master")
    assert (await table.snapshot()).sync == ()
    namespace.run("ipvsadm", "--start-daemon", "backup", "--mcast-interface", "sync0", "--syncid", "9")
    (backup,) = (await table.snapshot()).sync
    assert (backup.state, backup.interface, backup.sync_id) == (SyncState.BACKUP, "sync0", 9)
    assert await table.apply([StopSync(SyncState.BACKUP)]) == [None]
    assert namespace.run("ipvsadm", "-L", "--daemon").strip() == ""


def _as_pyroute2_reads():
    """Services and destinations as pyroute2's own message classes decode them. Runs inside the namespace."""
    from pyroute2 import IPVS
    from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST
    from pyroute2.netlink.generic.ipvs import IPVS_CMD_GET_DEST, IPVS_CMD_GET_SERVICE, ipvsmsg

    def dump(ipvs, command, attrs):
        asked = ipvsmsg()
        asked["cmd"], asked["version"], asked["attrs"] = command, 1, attrs
        return list(ipvs.nlm_request(asked, msg_type=ipvs.prid, msg_flags=NLM_F_REQUEST | NLM_F_DUMP))

    with IPVS() as ipvs:
        services = [row.get_attr("IPVS_CMD_ATTR_SERVICE") for row in dump(ipvs, IPVS_CMD_GET_SERVICE, [])]
        return [
            (service, [row.get_attr("IPVS_CMD_ATTR_DEST") for row in dump(ipvs, IPVS_CMD_GET_DEST, [_key(service)])])
            for service in services
        ]


def _key(service):
    names = ("AF", "PROTOCOL", "ADDR", "PORT", "FWMARK")
    attrs = [(f"IPVS_SVC_ATTR_{name}", service.get_attr(f"IPVS_SVC_ATTR_{name}")) for name in names]
    return "IPVS_CMD_ATTR_SERVICE", {"attrs": [(name, value) for name, value in attrs if value is not None]}


def _service_facts(key, spec):
    """What both decoders can say about a service: pyroute2's reading of the netmask is right for IPv4 only."""
    flags = spec.flags | (1 if spec.persistence else 0) | (4 if spec.one_packet else 0)
    where = ("mark", key.fwmark) if isinstance(key, FwmarkKey) else (key.protocol.value, str(key.address), key.port)
    timeout = spec.persistence.timeout if spec.persistence else 0
    return key.family.value, where, spec.scheduler, flags, timeout, spec.engine


def _pyroute2_service_facts(row):
    get = {name.removeprefix("IPVS_SVC_ATTR_"): value for name, value in row["attrs"]}.get
    where = ("mark", get("FWMARK")) if get("FWMARK") else (get("PROTOCOL"), get("ADDR"), get("PORT"))
    family = 4 if get("AF") == 2 else 6
    return family, where, get("SCHED_NAME"), get("FLAGS")["flags"] & ~2, get("TIMEOUT"), get("PE_NAME")


def _dest_facts(key, spec):
    tunnel = (spec.tunnel.encapsulation.value, spec.tunnel.port, spec.tunnel.checksum.value)
    return str(key.address), key.port, spec.forwarding.value, spec.weight, spec.upper, spec.lower, tunnel


def _pyroute2_dest_facts(row):
    get = {name.removeprefix("IPVS_DEST_ATTR_"): value for name, value in row["attrs"]}.get
    port = int.from_bytes(get("TUN_PORT").to_bytes(2, "little"), "big")  # it takes the port for a host's number
    numbers = (get("FWD_METHOD"), get("WEIGHT"), get("U_THRESH"), get("L_THRESH"))
    return get("ADDR"), get("PORT"), *numbers, (get("TUN_TYPE"), port, get("TUN_FLAGS"))


async def test_what_we_write_and_read_is_what_pyroute2_decodes(table, namespace):
    await _write(table, TABLE)
    services = (await table.snapshot()).services
    ours = {
        _service_facts(key, service.spec): {_dest_facts(*dest) for dest in service.dests.items()}
        for key, service in services.items()
    }
    theirs = {
        _pyroute2_service_facts(service): {_pyroute2_dest_facts(dest) for dest in dests}
        for service, dests in namespace.call(_as_pyroute2_reads)
    }
    assert ours == theirs
