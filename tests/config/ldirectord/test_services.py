"""Each service and check type of ldirectord becomes a check of ours that asks the same, and looks where it did not."""

from __future__ import annotations

import pytest

from healthd.config.ldirectord.listing import Listing
from healthd.config.ldirectord.names import ThisMachine
from healthd.config.ldirectord.reading import read_stock
from healthd.config.ldirectord.tree import tree_of
from healthd.config.load import load
from healthd.config.problems import render

RHYTHM = {"interval", "timeout", "overrun", "rise", "fall"}
LOGIN = 'login="me"\n    passwd="pw"\n    '
CHAIN = {"verify_name": False}
CASES = {
    "checktype=on": {"type": "on"},
    "checktype=off": {"type": "off"},
    "checktype=ping": {"type": "ping"},
    "checktype=connect": {"type": "tcp"},
    "checktype=connect\n    protocol=udp": {"type": "ping"},
    "checktype=external\n    checkcommand=/bin/true": {"type": "script", "command": "/bin/true"},
    'checktype=external\n    checkcommand="/bin/true -x y"': {
        "type": "script",
        "command": "/bin/true",
        "args": ["-x", "y", "{virtual}", "{virtual_port}", "{address}", "{port}"],
    },
    'checktype=external-perl\n    checkcommand="/x.pl"': {"type": "perl", "command": "/x.pl"},
    "checktype=2\n    service=smtp": {"type": "smtp", "connects": 2},
    "checktype=2\n    service=none": {"type": "tcp"},
    "checktype=0\n    service=smtp": {"type": "smtp"},
    "service=none": {"type": "on"},
    "service=http": {"type": "http", "path": "/", "redirects": 7, "redirect_away": "pass"},
    'service=https\n    request="a b"\n    virtualhost=x.y\n    httpmethod=head': {
        "type": "http",
        "path": "/a%20b",
        "method": "HEAD",
        "host": "x.y",
        "redirects": 7,
        "redirect_away": "pass",
        "tls": CHAIN,
    },
    'service=http\n    receive="[[:digit:]]+\\z"': {
        "type": "http",
        "path": "/",
        "redirects": 7,
        "expect": r"\d+\Z",
        "max_body": 16777216,
    },
    'service=http_proxy\n    request="http://a/b"': {"type": "http_proxy", "url": "http://a/b", "redirects": 7},
    "service=http_proxy": {"type": "tcp"},
    "service=smtp": {"type": "smtp"},
    "service=submission": {"type": "smtp"},
    "service=pop": {"type": "pop"},
    LOGIN + "service=pops": {"type": "pop", "user": "me", "password": "pw", "tls": CHAIN},
    LOGIN + "service=imap": {"type": "imap", "user": "me", "password": "pw"},
    "service=imaps": {"type": "imap", "tls": CHAIN},
    LOGIN + 'service=ldap\n    request="dc=x"\n    receive="x"': {
        "type": "ldap",
        "user": "me",
        "password": "pw",
        "base": "dc=x",
        "expect_dn": "x",
    },
    "service=ldaps": {"type": "ldap", "tls": {"verify": False}},
    "service=nntp": {"type": "nntp"},
    'service=dns\n    request="a.b"\n    receive="1"\n    protocol=udp': {"type": "dns", "name": "a.b", "expect": "1"},
    'service=dns\n    request="192.0.2.1"\n    receive="x"': {
        "type": "dns",
        "name": "192.0.2.1",
        "record": "PTR",
        "expect": "x",
        "tcp": True,
    },
    "service=dns": {"type": "dns", "name": ".", "record": "NS", "tcp": True},
    'service=simpletcp\n    request="a\\nb"\n    receive="c"': {
        "type": "tcp",
        "send": "a\nb",
        "half_close": True,
        "expect_line": "c",
        "max_bytes": 1024 * 1024,
    },
    'service=simpletcp\n    request="a"\n    receive="c"\n    protocol=udp': {
        "type": "udp",
        "payload": "a",
        "expect_line": "c",
    },
    'login="a@b"\n    service=sip': {"type": "sip", "user": "a@b", "caller": "a@b", "tcp": True},
    'login="sip:a@b"\n    service=sip': {"type": "sip", "user": "a@b", "caller": "a@b", "tcp": True},
    'login="a b@c"\n    service=sip': {"type": "sip", "tcp": True},
    'service=http\n    virtualhost="a..b"': {"type": "http", "path": "/", "redirects": 7, "redirect_away": "pass"},
    "checktype=external\n    checkcommand=./true": {"type": "script", "command": "/./true"},
    "checktype=external\n    checkcommand=there-is-no-such-program": {"type": "off"},
    "checktype=external-perl\n    checkcommand=bin/true": {"type": "perl", "command": "/bin/true"},
    LOGIN + 'service=ftp\n    request="f"\n    receive="x"': {
        "type": "ftp",
        "user": "me",
        "password": "pw",
        "file": "/f",
        "expect": "x",
        "max_bytes": 16 * 1024 * 1024,
    },
    LOGIN + "service=ftp": {"type": "ftp", "user": "me", "password": "pw"},
    LOGIN + 'service=mysql\n    database="d"\n    request="SELECT 2"': {
        "type": "mysql",
        "user": "me",
        "password": "pw",
        "database": "d",
        "query": "SELECT 2",
    },
    LOGIN + 'service=pgsql\n    request="SELECT 2"': {
        "type": "pgsql",
        "user": "me",
        "password": "pw",
        "query": "SELECT 2",
    },
    "service=mysql": {"type": "mysql"},
    LOGIN + 'service=oracle\n    database="d"\n    request="SELECT 2 FROM dual"': {
        "type": "oracle",
        "user": "me",
        "password": "pw",
        "sid": "d",
        "query": "SELECT 2 FROM dual",
    },
    LOGIN + 'service=radius\n    secret="s"': {
        "type": "radius",
        "secret": "s",
        "user": "me",
        "password": "pw",
        "message_authenticator": "optional",
    },
}


def tables(text):
    stock, problems = read_stock(Listing("a.cf", text, {}), ThisMachine())
    assert stock is not None, render(problems)
    tree = tree_of(stock, ThisMachine())
    assert not tree.refusals
    return tree


@pytest.mark.parametrize("directives", CASES, ids=lambda text: text.split("\n")[-1].strip())
def test_a_service_becomes_a_check(directives):
    text = f"virtual=192.0.2.1:4711\n    real=10.0.0.1:4711 gate\n    {directives}\n"
    check = tables(text).tables["service"][0]["check"]

    assert {name: value for name, value in check.items() if name not in RHYTHM} == CASES[directives]


@pytest.mark.parametrize("directives", CASES, ids=lambda text: text.split("\n")[-1].strip())
def test_our_checks_take_these_options(directives, tmp_path):
    file = tmp_path / "a.cf"
    file.write_text(f"virtual=192.0.2.1:4711\n    real=10.0.0.1:4711 gate\n    {directives}\n")
    if "oracle" in directives:
        pytest.importorskip("oracledb")

    loaded = load(file, strict_files=False)

    assert loaded.config is not None, render(loaded.problems)
    assert len(loaded.config.services[0].reals[0].checks) == 1


@pytest.mark.parametrize(("service", "timeout"), [("http", "4s"), ("ldap", "3s"), ('radius\n    secret="s"', "3s")])
def test_the_timeout_is_that_of_the_check(service, timeout):
    times = "checktimeout=3\nnegotiatetimeout=4\n"
    text = f"{times}virtual=192.0.2.1:81\n    real=10.0.0.1:81 gate\n    service={service}\n"

    assert tables(text).tables["service"][0]["check"]["timeout"] == timeout


def test_a_timeout_beyond_the_interval_may_overrun():
    text = "checkinterval=5\nchecktimeout=5\nvirtual=192.0.2.1:80\n    real=10.0.0.1:80 gate\n"

    assert tables(text).tables["service"][0]["check"]["overrun"] is True


def test_servers_with_a_request_of_their_own_lay_it_over_that_of_the_virtual():
    text = 'virtual=192.0.2.1:80\n    real=10.0.0.1:80 gate\n    real=10.0.0.2:80 gate "x","y"\n    receive="z"\n'
    service = tables(text).tables["service"][0]

    assert service["check"]["expect"] == "z"
    assert service["real"][1]["check"] == {"path": "/x", "expect": "y"}


def test_a_server_that_looks_for_less_makes_every_server_say_its_own():
    text = 'virtual=192.0.2.1:80\n    real=10.0.0.1:80 gate\n    real=10.0.0.2:80 gate "x",""\n    receive="z"\n'
    service = tables(text).tables["service"][0]

    assert "check" not in service
    assert service["real"][0]["check"]["expect"] == "z"
    assert "expect" not in service["real"][1]["check"]


def test_a_url_of_its_own_is_asked_where_it_says():
    text = 'virtual=192.0.2.1:80\n    real=10.0.0.1:80 gate 1 "http://10.9.9.9:8080/x?y", "z"\n'

    check = tables(text).tables["service"][0]["real"][0]["check"]
    assert {name: check[name] for name in ("path", "address", "port", "expect")} == {
        "path": "/x?y",
        "address": "10.9.9.9",
        "port": 8080,
        "expect": "z",
    }


def test_a_program_is_told_the_port_that_the_file_has():
    text = "virtual=7\n    real=10.0.0.1:8080 gate\n    checktype=external\n    checkcommand=/bin/true\n"

    check = tables(text).tables["service"][0]["real"][0]["check"]
    assert check["args"] == ["{virtual}", "{virtual_port}", "{address}", "8080"]


def test_letters_that_only_seem_to_quote_are_told():
    tree = tables('virtual=192.0.2.1:80\n    real=10.0.0.1:80 gate\n    receive="a\\\\Q\\Qb.c\\E"\n')

    (note,) = tree.notes
    assert (note.span.line, note.text) == (3, r"receive: \Q is the letter Q here, as with stock ldirectord")


def test_b13_ftp_that_the_port_implies_logs_in_as_service_ftp_does():
    tree = tables("virtual=192.0.2.1:21\n    real=10.0.0.1:21 gate\n")

    check = tree.tables["service"][0]["check"]
    assert (check["user"], check["password"]) == ("anonymous", f"ldirectord@{ThisMachine().hostname()}")
    assert any("login: stock ldirectord has none where the port alone implies" in note.text for note in tree.notes)
