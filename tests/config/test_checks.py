"""What a right check means: options, target, cadence, and how a server's own checks lie over its service's."""

import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme

from checks.http import HttpCheck
from checks.tcp import TcpCheck
from healthd.check import Target, Tls
from healthd.prober.base import Cadence
from tests.config.writing import one, service_of

ROOT = Path(__file__).parents[2]


def test_checks_that_know_no_ports_need_none(folder):
    text = one(virtual="fwmark = 7", check='type = "ping"')

    assert service_of(folder(text)).reals[0].checks[0].target == Target(ip_address("10.0.0.11"), 0)


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("", Cadence(5.0, 2.0, None, 0.1)),
        ('interval = "2s"', Cadence(2.0, 1.0, None, 0.1)),
        ("interval = 2.5\ntimeout = 2", Cadence(2.5, 2.0, None, 0.1)),
        ('interval = "1m30s"\nfast_interval = "500ms"\njitter = 0', Cadence(90.0, 2.0, 0.5, 0.0)),
    ],
)
def test_a_cadence_is_written_in_durations(folder, check, expected):
    (plan,) = service_of(folder(one(check=f'type = "tcp"\n{check}'))).reals[0].checks

    assert plan.cadence == expected


def test_a_probe_may_go_elsewhere_and_come_from_elsewhere(folder):
    check = """type = "tcp"
    address = "10.9.9.9"
    port = 99
    source = "10.0.0.2"
    interface = "eth1"
    mark = 4294967295
    netns = "probes"
    """

    (plan,) = service_of(folder(one(check=check))).reals[0].checks

    expected = Target(ip_address("10.9.9.9"), 99, ip_address("10.0.0.2"), "eth1", 4294967295, "probes")
    assert plan.target == expected


def test_several_checks_of_a_service_are_all_asked(folder):
    text = """\
    [[service]]
    virtual = "192.0.2.80:80"
    [[service.check]]
    type = "tcp"
    [[service.check]]
    type = "http"
    port = 8080
    [[service.real]]
    address = "10.0.0.11"
    """

    plans = service_of(folder(text)).reals[0].checks

    assert [(plan.check.kind, plan.target.port) for plan in plans] == [("tcp", 80), ("http", 8080)]


def test_a_server_lays_its_own_keys_over_the_services_check(folder):
    text = one(
        check='type = "http"\npath = "/a"\nfall = 7\ntls = { verify = false }',
        real='address = "10.0.0.11"\ncheck = { path = "/b", port = 8080, interval = "9s" }',
    )

    (plan,) = service_of(folder(text)).reals[0].checks

    assert plan.check == HttpCheck(path="/b", tls=Tls(verify=False))
    assert (plan.target.port, plan.cadence.interval, plan.thresholds.fall) == (8080, 9.0, 7)


def test_a_server_adds_checks_of_its_own(folder):
    own = '[[service.real.check]]\ntype = "ping"\n[[service.real.check]]\ntype = "tcp"\nport = 81\n'
    text = one(real='address = "10.0.0.11"\n' + own)

    plans = service_of(folder(text)).reals[0].checks

    assert [(plan.check.kind, plan.target.port) for plan in plans] == [("tcp", 81), ("ping", 80)]


def test_a_server_refers_to_one_of_two_checks_by_its_label(folder):
    text = """\
    [[service]]
    virtual = "192.0.2.80:80"
    [[service.check]]
    type = "http"
    label = "front"
    path = "/front"
    [[service.check]]
    type = "http"
    label = "back"
    path = "/back"
    port = 81
    [[service.real]]
    address = "10.0.0.11"
    [[service.real]]
    address = "10.0.0.12"
    check = { label = "back", port = 82 }
    """

    first, second = service_of(folder(text)).reals

    assert [(plan.check.path, plan.target.port) for plan in first.checks] == [("/front", 80), ("/back", 81)]
    assert [(plan.check.path, plan.target.port) for plan in second.checks] == [("/front", 80), ("/back", 82)]


def test_a_server_without_checks_among_others_with_some(folder):
    text = one(real='address = "10.0.0.11"\ncheck = []\n[[service.real]]\naddress = "10.0.0.12"')

    first, second = service_of(folder(text)).reals

    assert (first.checks, len(second.checks)) == ((), 1)


def test_a_check_for_a_row_is_told_which(folder):
    text = one('name = "www"', 'type = "script"\ncommand = "/bin/true"', real='address = "10.0.0.11-10.0.0.12"')

    first, second = (real.checks[0].check for real in service_of(folder(text)).reals)

    binding = second.binding
    assert first != second
    assert (binding.service, binding.virtual, binding.virtual_port) == ("www", "192.0.2.80", 80)
    assert (binding.address, binding.port) == (ip_address("10.0.0.12"), 80)


def test_a_check_behind_a_mark_is_told_the_mark(folder):
    text = one(virtual="fwmark = 7", check='type = "script"\ncommand = "/bin/true"')

    binding = service_of(folder(text)).reals[0].checks[0].check.binding

    assert (binding.service, binding.virtual, binding.virtual_port, binding.port) == ("fwmark-7", "7", 0, 0)


def test_equal_values_are_one_object(folder):
    text = (
        one(real='address = "10.0.0.11-10.0.0.13"') + "[[service.real]]\naddress = '10.0.0.14'\ncheck = { rise = 2 }\n"
    )

    reals = service_of(folder(text)).reals

    assert len({id(real.spec) for real in reals}) == 1
    assert len({id(real.checks[0].check) for real in reals}) == 1
    assert len({id(real.checks[0].cadence) for real in reals}) == 1


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from healthd.check import option

@dataclass(frozen=True, slots=True)
class OddCheck:
    kind: ClassVar[str] = "odd"
    when: complex = option(1j, "of a type that no configuration can express")
    def converse(self, target):
        yield from ()
        return ""
"""


def test_a_plugin_is_named_if_its_library_is_missing_or_its_options_make_no_sense(tmp_path):
    """In a process of its own, because entry points are read once."""
    meta = tmp_path / "plugin-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    entries = "[healthd.checks]\nodd = odd_plugin:OddCheck\nneedy = needy_plugin:Check\n"
    (meta / "entry_points.txt").write_text(entries)
    (tmp_path / "odd_plugin.py").write_text(PLUGIN)
    (tmp_path / "needy_plugin.py").write_text("import a_library_that_is_not_there\n")
    (tmp_path / "x.toml").write_text(one(check='type = "odd"') + one(check='type = "needy"', virtual="fwmark = 1"))
    script = """if True:
        import pathlib, sys
        from healthd.config.load import load
        print(*load(pathlib.Path(sys.argv[1])).problems, sep="\\n")
    """

    told = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.toml"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert len(told) == 2
    assert "type: this check cannot be configured: OddCheck.when: <class 'complex'> is not supported" in told[0]
    assert (
        "type: check 'needy' needs the Python module 'a_library_that_is_not_there', which is not installed" in told[1]
    )


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def pem(authority, tmp_path):
    """Writes a certificate and its key; returns their paths."""

    def write(name):
        certificate = authority.issue_cert("client.example.net")
        files = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        certificate.cert_chain_pems[0].write_to_path(files[0])
        certificate.private_key_pem.write_to_path(files[1])
        return files

    return write


def test_certificates_are_loaded_to_see_that_they_can_be(folder, pem, authority, tmp_path):
    (certificate, private), authorities = pem("a"), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(authorities)
    tls = f'ca_file = "{authorities}", cert_file = "{certificate}", key_file = "{private}"'

    (plan,) = service_of(folder(one(check=f'type = "tcp"\ntls = {{ {tls} }}'))).reals[0].checks

    assert plan.check == TcpCheck(Tls(ca_file=str(authorities), cert_file=str(certificate), key_file=str(private)))


def test_a_key_of_another_certificate_is_an_error(folder, pem):
    (certificate, _), (_, private) = pem("a"), pem("b")
    check = f'type = "tcp"\ntls = {{ cert_file = "{certificate}", key_file = "{private}" }}'

    (problem,) = folder(one(check=check)).problems

    assert problem.text == f"cert_file: {certificate} is not the certificate of the key"
