"""The Debian package: built by its one command, installed with dpkg on a machine that is forgotten afterwards."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import healthd
from tests.packages.machine import Machine, why_not
from tests.packages.shells import BASH_COMPLETION

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
WHY_NOT = why_not()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=f"the Debian package: {WHY_NOT}"),
    pytest.mark.timeout(600),  # the first of them builds it
]

SERVICE = b"""\
[[service]]
name = "www"
virtual = "192.0.2.80:80"
forward = "masq"
[service.check]
type = "tcp"
[[service.real]]
address = "127.0.0.1:9"
"""
AS_THE_UNIT = (
    "setpriv --reuid healthd --regid healthd --init-groups --no-new-privs --bounding-set -all,+net_admin,+net_raw "
    "--inh-caps -all,+net_admin,+net_raw --ambient-caps -all,+net_admin,+net_raw "
)
FIND_FOREIGN = r"""
import importlib.metadata, sys
for name in importlib.metadata.packages_distributions():
    path = getattr(__import__(name), "__file__", None) if not name.startswith("_") else None
    if path and not path.startswith("/usr/lib/healthd/"):
        print(path)
"""
ALL_CHECKS = """
from healthd import registry
missing = []
for name in registry.names():
    try:
        registry.check_class(name)
    except ImportError as error:
        missing.append((name, error.name))
print(missing)
"""


@pytest.fixture(scope="module")
def machine(package, tmp_path_factory):
    """A machine on which it is installed."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.run("dpkg -i /root/healthd.deb", files={"/root/healthd.deb": package.read_bytes()})
    yield machine
    machine.close()


def test_the_program_is_of_this_version_and_uses_no_library_of_the_machine(machine):
    assert machine.run("healthd --version").strip() == f"healthd {healthd.__version__}"
    found = machine.run("/usr/lib/healthd/bin/python /root/find.py", files={"/root/find.py": FIND_FOREIGN.encode()})
    assert found == ""


def test_every_check_is_there_but_the_one_whose_library_is_left_out(machine):
    told = machine.run("/usr/lib/healthd/bin/python /root/each.py", files={"/root/each.py": ALL_CHECKS.encode()})

    assert told.strip() in ("[]", "[('oracle', 'oracledb')]")


def test_a_library_of_the_administrator_s_is_found(machine):
    machine.run("mkdir -p /usr/local/lib/healthd; echo word = 42 > /usr/local/lib/healthd/of_the_admin.py")

    assert machine.run("/usr/lib/healthd/bin/python -c 'import of_the_admin; print(of_the_admin.word)'") == "42\n"


def test_the_shipped_configuration_is_right_and_declares_nothing(machine):
    told = machine.run("cd /; runuser -u healthd -- healthd check-config")

    assert "error" not in told
    assert "ok: services 0, real servers 0, files 1" in told


def test_the_unit_is_enabled_and_only_the_daemon_reads_the_configuration(machine):
    assert machine.run("systemctl is-enabled healthd").strip() == "enabled"
    assert machine.run("stat -c '%U:%G %a' /etc/healthd /etc/healthd/services.d") == "root:healthd 2750\n" * 2
    machine.run("runuser -u nobody -- cat /etc/healthd/healthd.toml", fails=True)
    assert machine.run("getent passwd healthd").strip().endswith("/usr/sbin/nologin")


def test_systemd_understands_the_unit_and_finds_its_program(machine):
    assert machine.run("systemd-analyze verify --recursive-errors=no healthd.service") == ""


def test_man_pages_and_the_schema_are_found(machine):
    assert machine.run("man -w 8 healthd; man -w 5 healthd.toml").count("/usr/share/man/") == 2
    assert json.loads(machine.run("cat /usr/share/healthd/healthd.schema.json"))["title"]


@pytest.mark.skipif(not BASH_COMPLETION.exists(), reason="completion in bash: apt install bash-completion")
def test_bash_finds_the_completion_by_the_program_s_name(machine):
    loaded = machine.run(f"bash -c 'source {BASH_COMPLETION}; _completion_loader healthd; complete -p healthd'")

    assert loaded.strip() == "complete -F _healthd healthd"


def test_every_file_is_as_it_was_packed_and_names_no_place_of_the_build(machine, package):
    assert machine.run("dpkg --verify healthd") == ""
    machine.run(f"grep -rlF {package.parent} /usr/lib/healthd /usr/share/healthd", fails=True)
    machine.run(f"grep -rlF {ROOT}/ /usr/lib/healthd /usr/share/healthd /usr/share/doc/healthd", fails=True)


def test_it_runs_as_its_user_with_the_rights_of_the_unit(machine):
    machine.run("true", files={"/etc/healthd/services.d/www.toml": SERVICE})
    machine.run("chmod 640 /etc/healthd/services.d/www.toml; install -d -o healthd /run/healthd /var/lib/healthd")
    daemon = machine.start(f"{AS_THE_UNIT} healthd run --table memory")
    try:
        reals = seen(machine)
        assert [real["address"] for real in reals] == ["127.0.0.1:9"]
        assert "127.0.0.1:9" in machine.run("healthd status")
        assert machine.run("healthd complete servers www").splitlines()[0] == "127.0.0.1:9"
        machine.run("runuser -u nobody -- healthd status", fails=True)
    finally:
        machine.run("pkill -TERM -o -u healthd")
        told, _ = daemon.communicate(timeout=PATIENCE)
        machine.run("rm /etc/healthd/services.d/www.toml")
    assert daemon.returncode == 0, told.decode()


def seen(machine):
    """The servers of the running daemon, once it has asked them."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        told = machine.run("healthd status --json 2>/dev/null || true")
        reals = json.loads(told)["services"][0]["reals"] if told else []
        if reals and reals[0]["phase"] == "down":
            return reals
        time.sleep(0.2)
    raise AssertionError(told)


def test_what_was_changed_survives_an_upgrade_and_a_removal_but_not_a_purge(package, newer, tmp_path):
    machine = Machine(tmp_path)
    files = {"/root/old.deb": package.read_bytes(), "/root/new.deb": newer.read_bytes()}
    machine.run("dpkg -i /root/old.deb", files=files)
    machine.run("echo '# mine' >> /etc/healthd/healthd.toml; systemctl disable healthd 2>/dev/null")
    machine.run(
        "install -d -o healthd /var/lib/healthd; touch /var/lib/healthd/state.db /etc/healthd/services.d/a.toml"
    )

    machine.run("dpkg --force-confold -i /root/new.deb")
    assert machine.run("tail -n 1 /etc/healthd/healthd.toml") == "# mine\n"
    assert machine.run("tail -n 1 /etc/healthd/healthd.toml.dpkg-dist") == "# something new\n"
    assert machine.run("systemctl is-enabled healthd || true").strip() == "disabled"

    machine.run("dpkg -r healthd")
    kept = "/etc/healthd/healthd.toml /etc/healthd/services.d/a.toml /var/lib/healthd/state.db"
    machine.run(f"ls {kept}")
    machine.run("ls -d /usr/lib/healthd", fails=True)
    machine.run("ls /usr/bin/healthd", fails=True)

    machine.run("dpkg -P healthd")
    for place in ("/etc/healthd", "/var/lib/healthd"):
        machine.run(f"ls -d {place}", fails=True)
    assert machine.run("find /etc/systemd /usr/lib/systemd /usr/share -name '*healthd*'") == ""
    machine.close()
