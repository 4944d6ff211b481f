"""The stand-in of benchmarks/beside_ldirectord.py and the real ipvsadm are given the same words, and say the same."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "peers" / "ipvsadm.c"
WEB, MARK = "-t 10.0.0.1:80", "-f 7"
LIST, THRESHOLDS = "-L -n", "-L -n --thresholds"
# What ldirectord calls, in its order of arguments, and what is refused.
STORY = (
    LIST,
    THRESHOLDS,
    f"-A {WEB} -s wlc -p 600 -M 255.255.255.0",
    f"-A {WEB} -s wlc",
    f"-E {WEB} -s wrr -p 600",
    "-E -t 10.0.0.9:80 -s wrr",
    "-A -u 10.0.0.1:53 -o -s rr",
    f"-A {MARK} -s wrr",
    f"-A {MARK} -6 -s wrr",
    "-A -t [fd00::1]:80 -s wrr",
    "-A -t 10.0.0.9:80 -s nonsense",
    f"-a {WEB} -x 9 -y 3 -r 10.1.0.1:8080 -m -w 5",
    f"-a {WEB} -x 0 -y 0 -r 10.1.0.1:8080 -m -w 5",
    f"-a {WEB} -r 10.1.0.2:8080 -i -w 0",
    f"-a {WEB} -r 10.1.0.3:8080 -g -w 1",
    f"-a {WEB} -r 10.1.0.4:80 -m -w 65536",
    f"-a {WEB} -r 10.1.0.5:80 -m -w x",
    f"-a {WEB} -x 1 -y 2 -r 10.1.0.5:80 -m -w 1",
    f"-a {MARK} -x 0 -y 0 -r 10.1.0.3:0 -g -w 1",
    "-a -t [fd00::1]:80 -r [fd00::2]:80 -g -w 1",
    "-a -t 10.0.0.9:80 -r 10.1.0.1:80 -m -w 1",
    LIST,
    THRESHOLDS,
    f"-e {WEB} -r 10.1.0.1:8080 -m -w 0",
    f"-e {WEB} -r 10.1.0.9:80 -m -w 0",
    f"-d {WEB} -r 10.1.0.2:80",
    f"-d {WEB} -r 10.1.0.9:80",
    LIST,
    THRESHOLDS,
    f"-D {WEB}",
    "-D -t 10.0.0.9:80",
    LIST,
)


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Calls the stand-in."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    subprocess.run(["gcc", "-o", tmp_path / "ipvsadm", SOURCE], check=True)

    def call(words: str) -> subprocess.CompletedProcess[str]:
        argv = ["./ipvsadm", *words.split()]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


def said(words: str, done: subprocess.CompletedProcess[str]) -> tuple[str, int, list[str], list[str]]:
    """What came of a call. The order of services and servers is nobody's promise; the lines of head stay first."""
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return words, done.returncode, lines[:3] + sorted(lines[3:]), done.stderr.splitlines()[:1]


def test_the_stand_in_says_what_ipvsadm_says(director, stand_in):
    for words in STORY:
        argv = ["ipvsadm", *words.split()]
        real = director.call(subprocess.run, argv, capture_output=True, text=True, check=False)
        assert said(words, stand_in(words)) == said(words, real)
