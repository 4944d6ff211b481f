"""An ldirectord.cf is a configuration like any other: recognised, loaded, with every problem at its place."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from healthd.config.formats import Format, Reading
from healthd.config.load import load
from healthd.config.problems import Severity, render
from healthd.config.recognise import recognise
from healthd.config.schema import OnFailure, OnStop, Stage
from healthd.model import DestKey, Forwarding

ETC = sorted((Path(__file__).parents[3] / "etc").rglob("*.toml"))
BAD = sorted((Path(__file__).parents[1] / "bad").glob("*.toml"))
SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.cf"))
WWW = "virtual=192.0.2.80:80\n    real=10.0.0.11:80 gate\n"


def loaded(tmp_path, text, name="test.cf", **how):
    file = tmp_path / name
    file.write_text(text)
    return load(file, strict_files=False, **how)


def services(tmp_path, text, **how):
    found = loaded(tmp_path, text, **how)
    assert found.config is not None, render(found.problems)
    return found.config.services


def texts(found, severity=Severity.WARNING):
    return [(problem.span.line, problem.text) for problem in found.problems if problem.severity is severity]


@pytest.mark.parametrize("file", [*ETC, *BAD], ids=lambda file: file.stem)
def test_toml_is_recognised_whatever_its_name_and_mistakes(file):
    data = file.read_bytes()

    assert recognise(file.name, data) is Format.TOML
    if b"virtual=" not in data:
        assert recognise("healthd.conf", data) is Format.TOML


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
@pytest.mark.parametrize("name", ["ldirectord.cf", "ldirectord", "lb.conf"])
def test_ldirectord_is_recognised_whatever_its_name(file, name):
    assert recognise(name, file.read_bytes()) is Format.LDIRECTORD


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Format.TOML),
        ("# only a comment\n", Format.TOML),
        ("checktimeout=3\n", Format.LDIRECTORD),
        ('logfile="local0"\n', Format.LDIRECTORD),
        ("quiescent=yes\n", Format.LDIRECTORD),
        ("\ufeffvirtual=1\r\n\treal=10.0.0.1 gate\r\n", Format.LDIRECTORD),
        ("checktimeout=x # c\nvirtual=10.0.0.1:80\n", Format.LDIRECTORD),
        ('[[service]]\nvirtual = "10.0.0.1:80"\nreal = [\n', Format.TOML),
        ("[log]\nlevel=debug\nfork=yes\n", Format.TOML),
        ("what is this\n", Format.TOML),
    ],
)
def test_the_format_is_told_by_the_content(text, meant):
    assert recognise("lb", text.encode()) is meant


def test_an_empty_cf_is_of_ldirectord():
    assert recognise("ldirectord.cf", b"") is Format.LDIRECTORD


def test_the_format_can_be_named(tmp_path):
    assert loaded(tmp_path, WWW, "a.toml", reading=Reading(Format.LDIRECTORD)).config is not None
    assert loaded(tmp_path, WWW, reading=Reading(Format.TOML)).config is None


def test_a_service_is_what_the_virtual_says(tmp_path):
    text = (
        "checkinterval=7\nfailurecount=3\nquiescent=yes\ncleanstop=no\nfallback=127.0.0.1\nmaintenancedir=/tmp\n"
        "emailalert=a@example.org, b@example.org\nemailalertfreq=60\nemailalertstatus=running\nsmtp=mail\n"
        + WWW
        + "    real=10.0.0.12:8080 masq 5 l:1 u:9\n    servicename=shop\n    comment=ask Ann\n"
        "    fallbackcommand=/bin/x -y\n"
        "    monitorfile=/dev/null\n    checktimeout=9\n    checktype=connect\n"
    )

    (service,) = services(tmp_path, text)

    assert (service.on_failure, service.on_stop) == (OnFailure.QUIESCE, OnStop.LEAVE)
    assert service.fallback.key == DestKey(ip_address("127.0.0.1"), 80)
    assert (service.title, service.comment, service.fallback_command) == ("shop", "ask Ann", "/bin/x -y")
    assert (service.monitor_file, service.maintenance) == (Path("/dev/null"), Path("/tmp"))
    assert service.mail.to == ("a@example.org", "b@example.org")
    assert (service.mail.server, service.mail.reminder) == ("mail", 60.0)
    assert service.mail.during == {Stage.RUNNING}
    assert [real.key.port for real in service.reals] == [80, 8080]
    second = service.reals[1]
    assert (second.spec.weight, second.spec.lower, second.spec.upper) == (5, 1, 9)
    assert second.spec.forwarding is Forwarding.MASQ
    (plan,) = second.checks
    assert (plan.cadence.interval, plan.cadence.timeout) == (7.0, 9.0)
    assert (plan.thresholds.rise, plan.thresholds.fall) == (1, 3)
    assert (plan.target.port, service.place.line) == (8080, 11)


def test_only_masquerading_changes_a_port(tmp_path):
    found = loaded(tmp_path, "virtual=192.0.2.80:80\n    real=10.0.0.11:8080 gate\n")
    (service,) = found.config.services

    assert service.reals[0].key.port == 80
    assert service.reals[0].checks[0].target.port == 8080
    assert texts(found) == [(2, "gate cannot change the port: only probes go to port 8080")]


def test_b4_a_global_fallback_works_with_a_firewall_mark(tmp_path):
    (service,) = services(tmp_path, "fallback=127.0.0.1:80\nvirtual=7\n    real=10.0.0.11 gate\n    checktype=on\n")

    assert service.fallback.key == DestKey(ip_address("127.0.0.1"), 0)


def test_servers_that_are_named_twice_are_one(tmp_path):
    found = loaded(tmp_path, WWW + "    real=10.0.0.11:80 gate 5\n")

    assert len(found.config.services[0].reals) == 1
    assert texts(found) == [(3, "10.0.0.11 is a real server of this virtual already, at line 2; that one counts")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("virtual=10.0.0.1:0\n    real=10.0.0.2:0 gate\n" + WWW, "ipvsadm refuses port 0 without persistence"),
        ("virtual=0\n    real=10.0.0.2 gate\n" + WWW, "ipvsadm refuses the firewall mark 0"),
        (WWW + "    persistent=0\n", "persistent: ipvsadm refuses 0 seconds"),
        (WWW + "    persistent=9\n    netmask=999.0.0.0\n", "netmask: the kernel takes no 999.0.0.0"),
        (WWW + "    schedflags=sh-port\n", "schedflags: sh-port is no option of the scheduler wrr"),
        (WWW + "    real=10.0.0.12:80 gate 70000\n", "weight 70000 is more than the kernel takes"),
        (WWW + "    real=10.0.0.12:80 gate 1 l:5\n", "the kernel takes no lower threshold above the upper one"),
        (WWW + "    fallback=10.0.0.11:80\n", "is one of the real servers"),
        ("virtual=192.0.2.80:80\n", "the service has no real server"),
        ("virtual=7\n    real=10.0.0.2 gate\n    checktype=connect\n", "there is no port to ask"),
        ("emailalert=a>b\n" + WWW, "is no mail address"),
        (WWW + '    virtualhost="a b"\n', "is no name of a host"),
    ],
)
def test_what_the_kernel_would_refuse_does_not_stop_the_rest(tmp_path, text, said):
    found = loaded(tmp_path, text)

    assert found.config is not None, render(found.problems)
    assert any(said in message for _, message in texts(found)), render(found.problems)


def test_a_range_may_be_a_network_of_16_bits(tmp_path):
    text = "virtual=192.0.2.80:80\n    real=10.0.0.0->10.{}:80 gate\n    service=none\n"

    (service,) = services(tmp_path, text.format("0.255.255"))
    assert len(service.reals) == 65_536
    ((line, said),) = texts(loaded(tmp_path, text.format("1.0.0")), Severity.ERROR)
    assert line == 2
    assert "more than 65536 addresses" in said


def test_a_password_with_what_cannot_be_sent_is_not_shown(tmp_path):
    found = loaded(tmp_path, WWW + '    service=ftp\n    passwd="ses\x01ame"\n')

    ((line, text),) = texts(found, Severity.ERROR)
    assert line == 4
    assert text == "password: must not contain control characters"
    assert not {"ses", "ame"} & set(re.findall(r"ses|ame", render(found.problems)))


def test_a_problem_of_our_tables_stands_at_the_directive(tmp_path):
    found = loaded(tmp_path, WWW + '    receive="(unclosed"\n')

    assert found.config is None
    ((line, text),) = texts(found, Severity.ERROR)
    assert line == 3
    assert text.startswith("receive: ")


def test_no_virtual_is_a_warning(tmp_path):
    assert texts(loaded(tmp_path, "checktimeout=3\n")) == [(0, "no service is declared")]


def test_latin_1_is_read_with_a_warning(tmp_path):
    file = tmp_path / "a.cf"
    file.write_bytes(WWW.encode() + b'    comment=caf\xe9\n    receive="Gr\xfc\xdfe"\n    request="\xfc"\n')

    found = load(file)

    (service,) = found.config.services
    assert service.comment == "caf\xe9"
    check = service.reals[0].checks[0].check
    assert check.path == "/%C3%BC"
    assert re.search(check.expect.encode(), b"Viele Gr\xfc\xdfe!")  # of a server that has Latin-1, too
    ((line, text),) = texts(found)
    assert line == 3
    assert "taken for Latin-1" in text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("10.0.0.11:80", "10.0.0.11-10.0.0.13:80", "could not resolve host; a range is 10.0.0.11->10.0.0.13)"),
        ("quiescent=no", 'passwd="a#b"', "Unknown command, as it takes what is behind the # for a comment"),
    ],
)
def test_a_message_says_what_would_be_right(tmp_path, before, after, said):
    text = "virtual=192.0.2.80:80\n    real=10.0.0.11:80 gate\n    quiescent=no\n    service=http\n"
    found = loaded(tmp_path, text.replace(before, after))
    assert [said in problem.text for problem in found.problems].count(True) == 1
