"""The stand-in that ldirectord calls in benchmarks/beside_ldirectord.py does what the real ipvsadm does for it."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "benchmarks" / "peers" / "ipvsadm.c"
WEB, MARK = "-t 10.0.0.1:80", "-f 7"
HEAD = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
"""
THRESHOLDS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn
  -> RemoteAddress:Port
"""


class Stand:
    """The stand-in with a table of its own."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder = folder
        (folder / "ipvsadm").symlink_to(program)

    def start(self, words: str) -> subprocess.Popen[str]:
        """One call, not waited for."""
        pipe = subprocess.PIPE
        return subprocess.Popen(["./ipvsadm", *words.split()], cwd=self.folder, stdout=pipe, stderr=pipe, text=True)

    def call(self, words: str) -> tuple[int, str, str]:
        """One call: its exit code, what it printed, and what it complained of."""
        process = self.start(words)
        printed, complaint = process.communicate(timeout=20)
        return process.returncode, printed, complaint

    def do(self, *calls: str) -> None:
        """Calls that succeed and say nothing."""
        for words in calls:
            assert self.call(words) == (0, "", ""), words

    def rows(self, more: str = "") -> str:
        """What `-L -n` prints below its three lines of head, which ldirectord skips."""
        code, printed, complaint = self.call(f"-L -n {more}")
        assert (code, complaint) == (0, "")
        head = THRESHOLDS if more else HEAD
        assert printed.startswith(head)
        return "\n".join(line.rstrip() for line in printed.removeprefix(head).splitlines())

    def log(self) -> list[list[str]]:
        """What it noted, in words."""
        return [line.split() for line in (self.folder / "ipvsadm.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled stand-in."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    built = tmp_path_factory.mktemp("stand-in") / "ipvsadm"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-o", built, SOURCE], check=True)
    return built


@pytest.fixture
def stand(program: Path, tmp_path: Path) -> Stand:
    """The stand-in with an empty table."""
    return Stand(program, tmp_path)


def test_an_empty_table_is_three_lines(stand: Stand):
    assert (stand.rows(), stand.rows("--thresholds")) == ("", "")


def test_services_and_servers_are_printed_as_ldirectord_reads_them(stand: Stand):
    stand.do(
        f"-A {WEB} -s wlc -p 600 -M 255.255.255.0",
        f"-a {WEB} -x 9 -y 3 -r 10.1.0.1:8080 -m -w 5",
        f"-a {WEB} -r 10.1.0.2:80 -i -w 0",
        "-A -u 10.0.0.1:53 -o -s rr",
        f"-A {MARK} -s wrr",
        f"-a {MARK} -x 0 -y 0 -r 10.1.0.3:0 -g -w 1",
    )
    assert stand.rows() == (
        "TCP  10.0.0.1:80 wlc persistent 600 mask 255.255.255.0\n"
        "  -> 10.1.0.2:80                  Tunnel  0      0          0\n"
        "  -> 10.1.0.1:8080                Masq    5      0          0\n"
        "UDP  10.0.0.1:53 rr ops\n"
        "FWM  7 wrr\n"
        "  -> 10.1.0.3:0                   Route   1      0          0"
    )
    assert "  -> 10.1.0.1:8080                9          3          0          0" in stand.rows("--thresholds")


def test_ipv6_is_printed_in_brackets_and_told_for_marks(stand: Stand):
    stand.do("-A -t [fd00::1]:80 -s wrr", "-a -t [fd00::1]:80 -r [fd00::2]:80 -g -w 1", "-A -f 7 -6 -s wrr")
    assert stand.rows().splitlines()[0] == "TCP  [fd00::1]:80 wrr"
    assert stand.rows().splitlines()[2] == "FWM  7 IPv6 wrr"


def test_without_translation_a_server_has_the_port_of_its_service(stand: Stand):
    stand.do(f"-A {WEB} -s rr", f"-a {WEB} -r 10.1.0.1:8080 -g", f"-a {WEB} -r 10.1.0.1:8080 -m")
    assert [line.split()[1:3] for line in stand.rows().splitlines()[1:]] == [
        ["10.1.0.1:8080", "Masq"],
        ["10.1.0.1:80", "Route"],
    ]


def test_a_change_without_thresholds_resets_them(stand: Stand):
    stand.do(f"-A {WEB} -s rr", f"-a {WEB} -x 9 -y 3 -r 10.1.0.1:80 -m -w 5", f"-e {WEB} -r 10.1.0.1:80 -m -w 0")
    assert stand.rows("--thresholds").split()[-4:] == ["0", "0", "0", "0"]
    assert stand.rows().split()[-3:] == ["0", "0", "0"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (f"-A {WEB} -s rr", "Service already exists"),
        ("-E -t 10.0.0.9:80 -s rr", "No such service"),
        ("-D -t 10.0.0.9:80", "No such service"),
        ("-A -t 10.0.0.9:80 -s nonsense", "Scheduler or persistence engine not found"),
        (f"-a {WEB} -r 10.1.0.1:80 -m", "Destination already exists"),
        (f"-e {WEB} -r 10.1.0.9:80 -m", "No such destination"),
        (f"-d {WEB} -r 10.1.0.9:80", "No such destination"),
        ("-a -t 10.0.0.9:80 -r 10.1.0.1:80", "Service not defined"),
        (f"-a {WEB} -x 1 -y 2 -r 10.1.0.2:80", "Numerical result out of range"),
    ],
)
def test_what_the_kernel_refuses_is_refused_and_changes_nothing(stand: Stand, words: str, complaint: str):
    stand.do(f"-A {WEB} -s rr", f"-a {WEB} -r 10.1.0.1:80 -m")
    before = stand.rows()
    assert stand.call(words) == (255, "", f"{complaint}\n")
    assert stand.log()[-1][1:3] == ["refused", words.split(maxsplit=1)[0]]
    assert stand.rows() == before


@pytest.mark.parametrize("words", ["", "-L -n -A", f"-a {WEB}", "-a -r 10.1.0.1:80", f"-a {WEB} -r 1.1.1.1:80 -w x"])
def test_words_that_make_no_sense_are_refused(stand: Stand, words: str):
    assert stand.call(words)[0] == 2


def test_what_was_removed_can_be_added_again(stand: Stand):
    add = [f"-A {WEB} -s rr", *(f"-a {WEB} -r 10.1.0.{n}:80 -m" for n in range(1, 4))]
    stand.do(*add)
    before = stand.rows()
    stand.do(f"-d {WEB} -r 10.1.0.2:80", f"-D {WEB}")
    assert stand.rows() == ""
    stand.do(*add)
    assert stand.rows() == before


def test_each_call_is_noted_with_its_time(stand: Stand):
    before = time.time()
    stand.do(f"-A {WEB} -s rr", f"-a {WEB} -r 10.1.0.1:80 -m -w 5")
    stand.rows()
    noted = stand.log()
    assert [words[1:] for words in noted] == [
        ["-A", "10.0.0.1:80", "-", "1"],
        ["-a", "10.0.0.1:80", "10.1.0.1:80", "5"],
        ["read"],
    ]
    assert before - 0.001 <= float(noted[0][0]) <= float(noted[2][0]) <= time.time() + 0.001


def test_calls_at_the_same_time_take_turns(stand: Stand):
    stand.do(f"-A {WEB} -s rr")
    calls = [stand.start(f"-a {WEB} -r 10.1.0.{n}:80 -m") for n in range(30)]
    assert [call.communicate(timeout=20) for call in calls] == [("", "")] * 30
    assert len(stand.rows().splitlines()) == 31
