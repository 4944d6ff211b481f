"""Pid files at their edges: a holder that is about to be gone, one that cannot be seen, a disk without room."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from healthd.pidfile import Found, PidFileUnusable, find, held

BOUND = 20.0
HOLD = "import sys; from pathlib import Path; from healthd.pidfile import held; path = Path(sys.argv[1])\n"

LEADER_ENDS = """
import ctypes, os, threading
def rest():
    sys.stdin.read(1)
    os._exit(0)
with held(path):
    threading.Thread(target=rest).start()
    print("held", flush=True)
    ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)  # exit(2) ends one thread alone
"""

STRANGER = """
import subprocess
from healthd.pidfile import PidFileUnusable, end, find, hang_up
stranger = subprocess.Popen(["/bin/sleep", "600"])
path.write_text(f"{stranger.pid}\\n")
said = []
for act in (lambda: find(path, "x"), lambda: hang_up(path, "x"), lambda: end(path, "x", 1.0)):
    try:
        act()
    except PidFileUnusable as error:
        said.append("cannot be seen" in str(error))
print(said, stranger.poll())
stranger.kill()
stranger.wait()
"""


def python(text, path, *before):
    """A Python with these lines."""
    command = [*before, sys.executable, "-c", HOLD + text, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def leader_has_ended(process):
    """Whether its first thread is gone, which is what becomes visible first of one that is killed."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="the number of exit(2) is not known here")
def test_one_that_is_ending_is_waited_for_and_does_not_count_as_running(tmp_path):
    """Threads of a killed process end one by one, and its lock goes with the last of them."""
    path = tmp_path / "x.pid"
    with python(LEADER_ENDS, path) as process:
        assert process.stdout.readline() == "held\n"
        while not leader_has_ended(process):
            assert process.poll() is None
        with subprocess.Popen(["/bin/sh", "-c", "sleep 0.3; echo"], stdout=process.stdin):
            process.stdin.close()
            assert find(path, "x") == Found(there=True, pid=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for a pid namespace")
def test_nobody_is_signalled_where_the_holder_cannot_be_seen(tmp_path):
    """In a container that shares the folder, its number is somebody else's."""
    path = tmp_path / "x.pid"
    with held(path), python(STRANGER, path, "unshare", "--pid", "--fork", "--mount-proc") as inside:
        said, _ = inside.communicate(timeout=BOUND)
    assert said == "[True, True, True] None\n"


def test_a_disk_without_room_is_told_and_leaves_no_file(tmp_path):
    path = tmp_path / "x.pid"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(PidFileUnusable, match=f"Can not write {path}: File too large"), held(path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()
