"""Completion in real shells: commands, options and their values, files, and the names that a running daemon has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.packages import shells

CONFIG = """\
include = []
[control]
socket = "{folder}/control.sock"
[[service]]
name = "www"
virtual = "192.0.2.80:80"
real = [{{ address = "10.9.0.11:80", name = "alpha" }}, {{ address = "10.9.0.12:80" }}]
check = []
[[service]]
name = "my mail"
virtual = "[2001:db8::25]:25"
forward = "masq"
real = [{{ address = "[2001:db8::7]:25" }}]
check = []
"""
PROGRAMS = Path(sys.executable).parent
SHELLS = {
    "bash": pytest.param(shells.bash, id="bash", marks=pytest.mark.skipif(
        not shells.BASH_COMPLETION.exists(), reason="completion in bash: apt install bash-completion")),
    "zsh": pytest.param(shells.zsh, id="zsh", marks=pytest.mark.skipif(
        not shutil.which("zsh"), reason="completion in zsh: apt install zsh")),
    "fish": pytest.param(shells.Fish, id="fish", marks=pytest.mark.skipif(
        not shutil.which("fish"), reason="completion in fish: apt install fish")),
}  # fmt: skip


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8", **more}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """The control socket of a daemon with two services."""
    folder = tmp_path_factory.mktemp("daemon")
    (folder / "healthd.toml").write_text(CONFIG.format(folder=folder))
    argv = [PROGRAMS / "healthd", "run", "--table", "memory", "--in-process", "-c", folder / "healthd.toml"]
    log = (folder / "log").open("w")
    process = subprocess.Popen([*argv, "--locks", folder], stdout=log, stderr=log)
    until = time.monotonic() + 60
    while b"10.9.0.12:80" not in names(folder / "control.sock"):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < until, (folder / "log").read_text()
    yield folder / "control.sock"
    process.terminate()
    assert process.wait(60) == 0
    log.close()


def names(socket: Path) -> bytes:
    return subprocess.run(
        [PROGRAMS / "healthd", "complete", "-s", socket, "names"], capture_output=True, check=True
    ).stdout


@pytest.fixture(scope="module", params=SHELLS.values())
def shell(request, daemon, tmp_path_factory):
    """A shell whose `healthd` finds the daemon."""
    found = request.param(environment(tmp_path_factory.mktemp("home"), HEALTHD_SOCKET=str(daemon)))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("healthd stat", ["healthd", "status"]),
        ("healthd run --tab", ["healthd", "run", "--table"]),
        ("healthd run --table mem", ["healthd", "run", "--table", "memory"]),
        ("healthd status ww", ["healthd", "status", "www"]),
        ("healthd status www my", ["healthd", "status", "www", "my mail"]),
        ("healthd status --json my", ["healthd", "status", "--json", "my mail"]),
        ("healthd explain alp", ["healthd", "explain", "alpha"]),
        ("healthd explain 10.9.0.12:", ["healthd", "explain", "10.9.0.12:80"]),
        ("healthd explain www 10.9.0.11:", ["healthd", "explain", "www", "10.9.0.11:80"]),
        ("healthd drain www alp", ["healthd", "drain", "www", "alpha"]),
        ("healthd ldirectord some.cf force-r", ["healthd", "ldirectord", "some.cf", "force-reload"]),
    ],
)
def test_a_word_is_completed(shell, typed, meant):
    assert shell.words(typed) == meant


@pytest.mark.parametrize(
    "typed", ["healthd explain nobody", "healthd explain www my", "healthd status 10.9.0.12:", "healthd frobnicate ww"]
)
def test_nothing_is_offered_that_would_not_be_right(shell, typed):
    assert shell.words(typed) == typed.split(" ")


def test_the_socket_that_the_line_names_is_asked(shell, daemon, tmp_path):
    assert shell.words(f"healthd status -s {tmp_path}/none ww")[-1] == "ww"
    assert shell.words(f"healthd status -s {daemon} ww")[-1] == "www"


def test_a_file_is_offered_where_one_is_wanted(shell, tmp_path):
    (tmp_path / "balancer.toml").touch()

    assert shell.words(f"healthd check-config -c {tmp_path}/bal")[-1] == f"{tmp_path}/balancer.toml"


def test_names_are_each_told_once_and_of_the_kind_that_is_asked_for(daemon):
    def told(*words):
        argv = [PROGRAMS / "healthd", "complete", "-s", daemon, *words]
        return subprocess.run(argv, capture_output=True, check=True, text=True).stdout.splitlines()

    www = ["10.9.0.11:80", "alpha", "10.9.0.11", "10.9.0.12:80", "10.9.0.12"]
    mail = ["[2001:db8::7]:25", "2001:db8::7"]
    assert set(told("services")) == {"www", "my mail"}
    assert told("servers", "www") == www
    assert told("servers", "nobody") == []
    assert sorted(told("names")) == sorted(["www", "my mail", *www, *mail])


def test_without_a_daemon_nothing_is_said(tmp_path):
    argv = [PROGRAMS / "healthd", "complete", "-s", tmp_path / "none", "names"]
    told = subprocess.run(argv, capture_output=True, check=False)

    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")
