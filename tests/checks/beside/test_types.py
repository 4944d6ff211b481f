"""The types of checks besides `negotiate`, programs among them: ldirectord's beside ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.checks.beside.cases import (
    DOWN,
    NOTHING,
    SOON,
    UNSURE,
    Case,
    compare,
    down,
    needs_ldirectord,
    nobody,
    only_ours,
    only_theirs,
    up,
)
from tests.checks.beside.test_web import pong
from tests.support.servers import black_hole, serving

pytestmark = [pytest.mark.real, needs_ldirectord]
CONNECT, PING, UDP = "checktype = connect", "checktype = ping", "protocol = udp"
SCRIPTS = {
    "good": "exit 0",
    "bad": "exit 1",
    "killed": "kill -9 $$",
    "slow": "exec sleep 60",
    "asking": '[ "$1 $2 $3" = "192.0.2.1 9 127.0.0.1" ] && [ "$4" -gt 0 ]',
}
PERL = {
    "good": "exit 0;",
    "bad": "exit 1;",
    "wrong": "exit (;",
    "ends": "1;",
    "dies": 'die "no";',
    "slow": "sleep 60; exit 0;",
    "asking": 'exit("$ARGV[0] $ARGV[1] $ARGV[2]" ne "192.0.2.1 9 127.0.0.1" || !$ARGV[3]);',
}


def test_types(tmp_path):
    with serving(pong) as server, black_hole() as hole, nobody() as ports:
        port, refusing = server.port, ports.refusing
        cases = [
            up("connect", port, CONNECT),
            down("nothing listens", refusing, CONNECT),
            down("nothing listens to IPv6", refusing, CONNECT, address="[::1]"),
            down("nobody accepts", hole.port, CONNECT, timeout=SOON),
            up("a firewall mark", port, CONNECT, virtual="7"),
            up("a firewall mark by itself", refusing, virtual="7"),
            up("ping", refusing, PING),
            up("over UDP a connect is a ping", refusing, CONNECT, UDP),
            up("on", refusing, "checktype = on"),
            Case("off", port, ("checktype = off",), DOWN, NOTHING),
            up("no service", refusing, "service = none"),
            down("the first of many is a whole one", port, "checktype = 3", "service = simpletcp", 'receive = "no"'),
            up("and passes", port, "checktype = 3", "service = simpletcp", 'receive = "bye"'),
        ]
        compare(tmp_path, cases)


def test_a_ping_that_nobody_answers(tmp_path, network):
    network.sysctl("net.ipv4.icmp_echo_ignore_all=1")
    cases = [down("ping", 9, PING, timeout=SOON), down("connect", 9, CONNECT, UDP, timeout=SOON)]
    network.call(compare, tmp_path, cases)


def test_external(tmp_path):
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def script(name: str) -> tuple[str, str]:
        return "checktype = external", f'checkcommand = "{tmp_path}/{name}"'

    cases = [
        up("it passes", 9, *script("good")),
        down("it fails", 9, *script("bad")),
        up("its arguments", 9, *script("asking")),
        down("it hangs", 9, *script("slow"), timeout=SOON),
        only_theirs("B7", "it is killed", 9, *script("killed")),
        only_ours("B8", "it has arguments", 9, *script("good -v"), warning="stock ldirectord takes all of it"),
        Case("there is none", 9, script("none"), UNSURE, DOWN, defect="B19"),
    ]
    compare(tmp_path, cases)


def test_external_perl(tmp_path):
    for name, text in PERL.items():
        (tmp_path / name).write_text(f"{text}\n")

    def perl(name: str) -> tuple[str, str]:
        return "checktype = external-perl", f'checkcommand = "{tmp_path}/{name}"'

    cases = [
        up("it passes", 9, *perl("good")),
        down("it fails", 9, *perl("bad")),
        up("it comes to its end", 9, *perl("ends")),
        down("it dies", 9, *perl("dies")),
        down("it hangs", 9, *perl("slow"), timeout=SOON),
        up("its arguments", 9, *perl("asking")),
        Case("it is no Perl", 9, perl("wrong"), UNSURE, DOWN, defect="B19"),
        Case("there is none", 9, perl("none"), UNSURE, DOWN, defect="B19"),
    ]
    compare(tmp_path, cases)


def test_every_difference_has_a_number_that_the_page_knows():
    here = Path(__file__).parent
    page = (here.parents[2] / "docs/from-ldirectord.md").read_text()
    numbers = {number for file in here.glob("*.py") for number in re.findall(r'"(B[0-9]+)"', file.read_text())}
    assert numbers
    assert {number for number in numbers if f"\n| {number} |" not in page} == set()
