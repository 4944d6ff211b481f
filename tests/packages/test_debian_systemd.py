"""The Debian package on a machine that runs a systemd of its own: the unit, its rights, upgrade and removal."""

from __future__ import annotations

import pytest

from tests.packages.machine import Machine, why_not

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=f"the Debian package: {WHY_NOT}"),
    pytest.mark.timeout(600),  # the first of them builds it
]

MEMORY = b"[Service]\nExecStart=\nExecStart=/usr/bin/healthd run --table memory\n"
SERVICE = b"""\
[[service]]
name = "www"
virtual = "192.0.2.80:80"
check = []
[[service.real]]
address = "10.9.0.11:80"
"""
RIGHTS = {"CapInh": 0, "CapAmb": 0, "CapBnd": 0x3000, "CapPrm": 0x3000}
"""Of the daemon: CAP_NET_ADMIN (12) and CAP_NET_RAW (13) and nothing else; what it starts inherits nothing."""


@pytest.fixture
def machine(package, newer, tmp_path):
    """A machine that runs systemd, has the packages lying about, and a kernel without IPVS."""
    try:
        machine = Machine(tmp_path, boot=True)
    except RuntimeError as error:
        pytest.skip(f"the Debian package under systemd: it does not boot in namespaces here ({error})")
    unit = "/etc/systemd/system/healthd.service.d"
    files = {"/root/old.deb": package.read_bytes(), "/root/new.deb": newer.read_bytes(), f"{unit}/memory.conf": MEMORY}
    machine.run(f"mkdir -p {unit}")
    machine.run("true", files=files)
    yield machine
    machine.close()


def shown(machine, name):
    return machine.run(f"systemctl show -P {name} healthd").strip()


def test_the_unit_lives_through_install_reload_upgrade_and_removal(machine):
    told = machine.run("dpkg -i /root/old.deb")
    assert "no service is configured yet" in told
    assert (shown(machine, "ActiveState"), shown(machine, "UnitFileState")) == ("inactive", "enabled")

    machine.run("systemctl start healthd", files={"/etc/healthd/services.d/www.toml": SERVICE})
    assert shown(machine, "ActiveState") == "active"
    assert "10.9.0.11:80" in machine.run("healthd status")
    first = shown(machine, "MainPID")
    status = dict(line.split(":", 1) for line in machine.run(f"cat /proc/{first}/status").splitlines())
    assert {name: int(status[name], 16) for name in RIGHTS} == RIGHTS
    assert status["Uid"].split()[0] == machine.run("id -u healthd").strip()
    assert machine.run("stat -c '%U %a' /var/lib/healthd /run/healthd") == "healthd 750\nhealthd 755\n"

    machine.run("systemctl reload healthd")
    machine.run("rm -f /etc/healthd/services.d/bad.toml; dpkg --force-confold -i /root/new.deb")
    second = shown(machine, "MainPID")
    assert (shown(machine, "ActiveState"), second != first) == ("active", True)

    machine.run("true", files={"/etc/healthd/services.d/bad.toml": b"[[service]]\nschedular = 1\n"})
    machine.run("systemctl reload healthd", fails=True)
    assert "cannot use the configuration" in machine.run("dpkg -i /root/new.deb")
    assert (shown(machine, "ActiveState"), shown(machine, "MainPID")) == ("active", second)

    machine.run("dpkg -r healthd")
    assert shown(machine, "ActiveState") == "inactive"
    machine.run("ls /etc/healthd/services.d/www.toml")
    machine.run("dpkg -P healthd")
    assert shown(machine, "LoadState") == "not-found"


def test_it_is_started_at_once_where_a_service_is_configured_already(machine):
    machine.run("mkdir -p /etc/healthd/services.d")
    machine.run("dpkg -i /root/old.deb", files={"/etc/healthd/services.d/www.toml": SERVICE})

    assert shown(machine, "ActiveState") == "active"
    assert "www" in machine.run("healthd status")
