"""Facts as they are gathered: from files of the usual form, and on this very machine, beside other tools' answers."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from healthd.doctor import machine
from healthd.doctor.facts import Listener, Program, Way
from healthd.doctor.routes import held, routes
from healthd.doctor.rules import firewall, read
from healthd.doctor.unit import rights_of_unit
from healthd.model import Protocol
from healthd.privileges import Capability

UNIT = Path(__file__).parents[2] / "etc/systemd"


def ip(*words: str) -> list[dict]:
    if shutil.which("ip") is None:
        pytest.skip("there is no ip: install iproute2")
    done = subprocess.run(["ip", "-j", *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


# --- the kernel -------------------------------------------------------------------------------------------------


def test_the_kernel_is_this_one_and_its_settings_are_those_of_proc():
    assert machine.kernel().release == os.uname().release
    settings = machine.sysctls()
    assert settings["net/ipv4/ip_forward"] == Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
    assert "net/ipv4/conf/lo/rp_filter" in settings
    low, high = settings["net/ipv4/ip_local_port_range"].split()
    assert int(low) < int(high)


def test_modules_that_can_be_loaded_are_those_of_both_lists(tmp_path):
    folder = tmp_path / os.uname().release
    folder.mkdir()
    path = "kernel/net/netfilter/ipvs"
    (folder / "modules.dep").write_text(f"{path}/ip_vs_wlc.ko.xz: {path}/ip_vs.ko.xz\nkernel/net/veth.ko:\n")
    (folder / "modules.builtin").write_text(f"{path}/ip_vs.ko\n")
    assert machine.kernel(tmp_path).loadable == {"ip_vs", "ip_vs_wlc"}
    assert machine.kernel(tmp_path / "nowhere").loadable is None


# --- the network ------------------------------------------------------------------------------------------------


def test_routes_are_those_that_ip_finds():
    wanted = [ip_address(text) for text in ("127.0.0.1", "::1", "192.0.2.1", "203.0.113.9", "2001:db8::1")]
    found = routes(wanted)
    assert found[wanted[0]].way is found[wanted[1]].way is Way.LOCAL
    for address in wanted[2:]:
        try:
            (theirs,) = ip("route", "get", str(address))
        except subprocess.CalledProcessError:
            assert found[address].way is Way.NONE
            continue
        ours = found[address]
        assert (ours.device, str(ours.router or "")) == (theirs["dev"], theirs.get("gateway", ""))


def test_addresses_are_those_that_ip_lists():
    theirs = {(info["local"], link["ifname"]) for link in ip("addr") for info in link["addr_info"]}
    assert {(str(one.address), one.device) for one in held()} == theirs


def test_devices_of_default_routes_are_those_that_ip_lists():
    assert machine.default_devices() == {route["dev"] for route in ip("-4", "route", "show", "default")}


@pytest.mark.parametrize(
    ("family", "kind", "address", "seen"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", None),
        (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.2", "127.0.0.2"),
        (socket.AF_INET6, socket.SOCK_STREAM, "::1", "::1"),
    ],
)
def test_a_socket_that_listens_is_seen_and_is_gone_when_it_is_closed(family, kind, address, seen):
    with socket.socket(family, kind) as sock:
        sock.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        port = sock.getsockname()[1]
        protocol = Protocol.TCP if kind == socket.SOCK_STREAM else Protocol.UDP
        expected = Listener(protocol, ip_address(seen) if seen else None, port)
        assert expected in machine.listeners()
    assert expected not in machine.listeners()


# --- rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "marks", "vague", "stateful"),
    [
        ("", set(), False, False),
        ("ip daddr 192.0.2.80 tcp dport 80 meta mark set 0x00000007", {7}, False, False),
        ("meta mark set 0x00000001 counter\nmeta mark set 0x2 accept", {1, 2}, False, False),
        ("meta mark set tcp dport map { 80 : 0x1, 443 : 0x2 }", set(), True, False),
        ("meta mark set meta mark & 0xffffff00 | 0x00000001", set(), True, False),
        ("meta mark set 0x00000007\nmeta mark set ct mark", {7}, True, False),
        ("-A PREROUTING -d 192.0.2.80/32 -j MARK --set-xmark 0x7/0xffffffff", {7}, False, False),
        ("ct state established,related accept", set(), False, True),
        ("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", set(), False, True),
        ("ip saddr 10.0.0.0/8 masquerade", set(), False, True),
    ],
)
def test_rules_are_read_as_nft_and_iptables_list_them(rules, marks, vague, stateful):
    found = read(rules)
    assert (found.marks, found.vague, found.stateful) == (marks, vague, stateful)


def test_where_a_program_may_list_rules_they_are_read():
    nft = shutil.which("nft", path="/usr/sbin:/sbin")
    may = nft and subprocess.run([nft, "list", "ruleset"], capture_output=True, check=False).returncode == 0
    saves = shutil.which("iptables-save", path="/usr/sbin:/sbin")
    assert (firewall() is not None) or not (may or saves)


# --- processes --------------------------------------------------------------------------------------------------


def test_our_own_rights_and_files_are_seen():
    found = machine.rights("self", "this user")
    assert found is not None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert found.files == (None if hard == resource.RLIM_INFINITY else hard)
    (mine, *_) = machine.open_files(os.getpid())
    assert mine.pid == os.getpid()
    assert 0 < mine.open <= mine.limit
    assert machine.rights(2**22 + 1, "nobody") is None


@contextmanager
def program(*argv: str) -> Iterator[int]:
    """A Python process under another name; it says a line when it is there. Its number."""
    process = subprocess.Popen(argv, executable=sys.executable, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("text", "writes"),
    [
        ("vrrp_instance a {\n}\n", False),
        ("virtual_server 192.0.2.80 80 {\n}\n", True),
        ("include x\n", None),
        (None, None),
    ],
)
def test_keepalived_is_found_with_what_its_configuration_is_for(tmp_path, text, writes):
    file = tmp_path / "keepalived.conf"
    if text is not None:
        file.write_text(text)
    script = "import time; open('/proc/self/comm', 'w').write('keepalived'); print(1, flush=True); time.sleep(60)"
    with program("/usr/sbin/keepalived", "-c", script, "-f", str(file)) as pid:
        assert Program("keepalived", pid, str(file), writes) in machine.programs()


@pytest.mark.parametrize(("interpreter", "found"), [("/usr/bin/perl", True), ("/usr/bin/python3", False)])
def test_ldirectord_is_found_with_its_file_and_healthd_under_its_name_is_not(tmp_path, interpreter, found):
    script = tmp_path / "ldirectord"
    script.write_text("import time; print(1, flush=True); time.sleep(60)")
    with program(interpreter, str(script), "/etc/ha.d/www.cf", "start") as pid:
        assert (Program("ldirectord", pid, "/etc/ha.d/www.cf", True) in machine.programs()) is found


# --- units ------------------------------------------------------------------------------------------------------


def test_the_unit_of_the_project_gives_what_is_needed_and_nothing_else():
    found = rights_of_unit([UNIT])
    assert found is not None
    assert found.who == "healthd.service (user healthd)"
    assert found.capabilities == {Capability.NET_ADMIN, Capability.NET_RAW}
    assert (found.files, found.enters) == (65536, False)


def test_drop_ins_come_on_top_by_name_and_the_first_folder_wins(tmp_path):
    etc, usr = tmp_path / "etc", tmp_path / "usr"
    for folder in (etc / "healthd.service.d", usr / "healthd.service.d"):
        folder.mkdir(parents=True)
    shutil.copy(UNIT / "healthd.service", usr)
    (usr / "healthd.service.d/10-a.conf").write_text("[Service]\nLimitNOFILE=1\n")
    (etc / "healthd.service.d/10-a.conf").write_text("[Service]\nAmbientCapabilities=\nLimitNOFILE=1024:4096\n")
    (etc / "healthd.service.d/20-b.conf").write_text(
        "[Service]\nAmbientCapabilities=CAP_NET_ADMIN \\\n CAP_SYS_ADMIN\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"
        "RestrictNamespaces=no\n[Install]\nUser=root\n"
    )
    found = rights_of_unit([etc, usr])
    assert found is not None
    assert found.capabilities == {Capability.NET_ADMIN, Capability.SYS_ADMIN}
    assert (found.files, found.enters) == (4096, True)


def test_a_unit_of_root_has_everything_but_what_is_taken_away(tmp_path):
    (tmp_path / "healthd.service").write_text("[Service]\nCapabilityBoundingSet=~CAP_NET_RAW CAP_SYS_MODULE\n")
    found = rights_of_unit([tmp_path])
    assert found is not None
    assert found.capabilities == frozenset(Capability) - {Capability.NET_RAW, Capability.SYS_MODULE}
    assert rights_of_unit([tmp_path / "nowhere"]) is None


# --- time -------------------------------------------------------------------------------------------------------


def test_the_clock_was_not_set_since_this_process_began_unless_its_socket_says_so(tmp_path):
    beside = tmp_path / "control.sock"
    beside.touch()
    began = machine.clock(beside, os.getpid()).stepped
    assert began is not None
    os.utime(beside, (0, beside.stat().st_mtime - 7200))
    later = machine.clock(beside, os.getpid()).stepped
    assert later is not None
    assert round(later - began) == 7200
    assert machine.clock(tmp_path / "nowhere", os.getpid()).stepped is None
    assert machine.clock(beside, None).stepped is None
