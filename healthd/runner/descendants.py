"""What becomes of the descendants of programs: they are ours to reap (we are their subreaper), and to kill."""

from __future__ import annotations

import os
import signal


def ended_child() -> int | None:
    """A child that has ended, without waiting for it: its number stays taken."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended else None


def open_children() -> int:
    """Descriptor of the kernel's list of our children, for `kill_sessions`; -1 where there is none (PROC_CHILDREN).

    Opened once, at start: there may be no descriptor left when it is needed.
    """
    own = os.getpid()
    try:
        return os.open(f"/proc/self/task/{own}/children", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def kill_sessions(sessions: set[int], children: int) -> set[int]:
    """Kill what is left of the sessions of programs that ended. Returns those of which something was left.

    children: of `open_children`. Only our own children are seen; their children come to us when they die, so this is
    called again at the next end of a child, as long as it returns anything.
    """
    left = set()
    for word in _words(children) if sessions else ():
        session = _session(int(word))
        if session in sessions:
            os.kill(int(word), signal.SIGKILL)
            left.add(session)
    return left


def _words(fd: int) -> list[bytes]:
    text = b""
    while fd >= 0 and (piece := os.pread(fd, 65536, len(text))):
        text += piece
    return text.split()


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
