"""The defects of ldirectord's reader, a test for each, numbered as in docs/from-ldirectord.md."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from healthd.check import Connect, Endpoint, Send
from healthd.config.formats import Format, Reading
from healthd.config.load import Loaded, load
from healthd.config.problems import Severity


def read(tmp_path: Path, text: str, *, strict: bool = False) -> Loaded:
    """The loaded configuration of a file of ldirectord."""
    path = tmp_path / "test.cf"
    path.write_text(text)
    return load(path, reading=Reading(Format.LDIRECTORD, strict))


def only_check(loaded):
    """The check of the one real server."""
    assert loaded.config is not None, loaded.problems
    (plan,) = loaded.config.services[0].reals[0].checks
    return plan


def test_b4_a_global_fallback_serves_a_firewall_mark(tmp_path):
    loaded = read(tmp_path, "fallback=10.0.0.9:80 masq\nvirtual=7\n    real=10.0.0.1 masq\n    checktype=ping\n")
    assert str(loaded.config.services[0].fallback.key).startswith("10.0.0.9")


def test_b8_a_check_command_may_have_arguments(tmp_path):
    text = 'virtual=10.0.0.1:80\n    real=10.0.0.2:80 masq\n    checktype=external\n    checkcommand="/bin/test -n"\n'
    check = only_check(read(tmp_path, text)).check
    assert "/bin/test" in repr(check)
    assert "-n" in repr(check)


def test_b11_a_number_sign_may_stand_within_quotes(tmp_path):
    text = 'virtual=10.0.0.1:80\n    real=10.0.0.2:80 masq\n    service=http\n    login="a#b"\n    receive="x#y" # so\n'
    check = only_check(read(tmp_path, text)).check
    assert check.expect == "x#y"
    assert read(tmp_path, text, strict=True).config is None


def test_b12_an_address_without_a_port_becomes_a_firewall_mark_but_not_silently(tmp_path):
    text = "virtual=10.0.0.1\n    real=10.0.0.2 masq\n    checktype=off\n"
    loaded = read(tmp_path, text)
    (told,) = [problem for problem in loaded.problems if problem.span.line == 1]
    assert told.severity is Severity.WARNING
    assert "firewall mark 10" in told.text


def test_b13_default_logins_are_there_where_the_port_tells_the_service(tmp_path):
    ftp = only_check(read(tmp_path, "virtual=10.0.0.1:21\n    real=10.0.0.2:21 masq\n")).check
    assert ftp.user == "anonymous"
    sip = only_check(read(tmp_path, "virtual=10.0.0.1:5060\n    real=10.0.0.2:5060 masq\n    protocol=udp\n"))
    talk = sip.check.converse(sip.target)
    steps = [next(talk), talk.send(None), talk.send(Endpoint(ip_address("10.0.0.9"), 5061))]
    (asked,) = [step.data for step in steps if isinstance(step, Send)]
    assert asked.startswith(b"OPTIONS sip:10.0.0.2")


def test_b20_https_names_the_host_and_verifies_the_chain_alone(tmp_path):
    text = "virtual=10.0.0.1:443\n    real=10.0.0.2:443 masq\n    virtualhost=www.example.org\n"
    plan = only_check(read(tmp_path, text))
    step = next(plan.check.converse(plan.target))
    assert isinstance(step, Connect)
    assert step.tls is not None
    assert (step.server_name, step.tls.verify, step.tls.verify_name) == ("www.example.org", True, False)
