"""The file of the control socket: made, and removed, without ever harming what is somebody else's."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from pathlib import Path

LONGEST_PATH = 107  # sun_path without its final zero, unix(7)


class ControlSocketUnusable(Exception):
    """The control socket cannot be had. One sentence for people, with its path."""


def group_id(name: str | None) -> int | None:
    """The number of a group; None for none. Raises ControlSocketUnusable if there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid if name else None
    except KeyError:
        raise ControlSocketUnusable(f"the control socket's group {name!r} does not exist") from None


def bound(path: Path, group: int | None, backlog: int) -> socket.socket:
    """A listening socket of this path. It is nobody else's from its first moment on; then the group is let in.

    Raises ControlSocketUnusable.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ControlSocketUnusable(f"the control socket's path has more than {LONGEST_PATH} bytes: {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear_stale(path)
        os.fchmod(listener.fileno(), 0o600)  # what bind(2) gives the file, less the umask
        listener.bind(str(path))
        listener.listen(backlog)
        _let_in(path, group)
    except OSError as error:
        listener.close()
        raise ControlSocketUnusable(f"the control socket {path} cannot be made: {error.strerror}") from None
    except BaseException:
        listener.close()
        raise
    return listener


def _let_in(path: Path, group: int | None) -> None:
    path.chmod(0o600)
    if group is not None:
        os.chown(path, -1, group)
        path.chmod(0o660)


def _clear_stale(path: Path) -> None:
    """Remove a socket that nobody answers on, left by a daemon that was killed; never anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlSocketUnusable(f"{path} is there already and is no socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        code = probe.connect_ex(str(path))
    if code in (0, errno.EAGAIN):  # EAGAIN: so many are waiting there that nobody more is let in
        raise ControlSocketUnusable(f"another process answers on {path}")
    if code == errno.ECONNREFUSED:
        path.unlink()
    elif code != errno.ENOENT:
        raise ControlSocketUnusable(f"{path} is there already and cannot be asked: {os.strerror(code)}")
