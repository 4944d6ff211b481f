"""What a process may do: user, groups, Linux capabilities, network namespace.

Each process of healthd confines itself as its first act, by `confine`:

* the director may change the IPVS table (CAP_NET_ADMIN). Capabilities that only its children need stay in its
  permitted set, not effective (`reserve`), and are handed on for the moment of starting a child (`lending`),
* a prober may open raw sockets (CAP_NET_RAW, which since Linux 5.17 is enough for SO_MARK, see `marks_need_admin`),
* a runner may nothing.

Afterwards nothing can be gained again: no_new_privs is set, and the bounding set is cut where we have the right to
(CAP_SETPCAP; without it no_new_privs does the same job for every exec). Started as a plain user without any capability,
all of this still works, there is just less to keep. Sources: capabilities(7), prctl(2), setns(2), capset(2).

Imported by the runner, which is kept small: standard library only, and little of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class Capability(IntEnum):
    """The capabilities that healthd has a use for, by the kernel's numbers (include/uapi/linux/capability.h)."""

    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    NET_ADMIN = 12
    NET_RAW = 13
    SYS_MODULE = 16
    SYS_ADMIN = 21
    SYS_NICE = 23


Capabilities = frozenset[Capability]

DIRECTOR: Capabilities = frozenset({Capability.NET_ADMIN})
PROBER: Capabilities = frozenset({Capability.NET_RAW})
RUNNER: Capabilities = frozenset()
LENT: Capabilities = frozenset(
    {
        Capability.NET_RAW,
        Capability.NET_ADMIN,
        Capability.KILL,
        Capability.SETUID,
        Capability.SETGID,
        Capability.SETPCAP,
        Capability.SYS_ADMIN,
        Capability.SYS_NICE,
    }
)
"""All that a director may have to lend to its probers and runners, see `needed`, or to use for them itself (KILL)."""

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_AMBIENT_IS_SET = 1
_AMBIENT_RAISE = 2
_AMBIENT_CLEAR_ALL = 4
_CLONE_NEWNET = 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """We may not, or cannot, do what was asked; the text is for the operator."""


# --- to be called by people --------------------------------------------------------------------------------------


def confine(
    *,
    user: str | None = None,
    keep: Capabilities = frozenset(),
    reserve: Capabilities = frozenset(),
    netns: str | None = None,
) -> Capabilities:
    """Enter `netns`, become `user`, and have exactly `keep` (as far as we had it) from then on, also over an exec.

    Capabilities belong to a thread: call it before any other is started.
    user: name or number; None stays who we are. netns: name (as of `ip netns`) or path; None stays where we are.
    reserve: capabilities that stay permitted without being effective, for `lending`. Returns what of `keep` we have.
    Raises PrivilegeError when the namespace or the user cannot be had; nobody should go on then.
    """
    account = None if user is None else _account(user)
    if netns is not None:
        enter_namespace(netns)
    kept = keep & permitted()
    kept_back = reserve & permitted()
    try:
        _cut_bounding_set(keep | reserve)
        if account is not None:
            _become(account)
        _set_capabilities(permitted=kept | kept_back, effective=kept, inheritable=kept)
        _set_ambient(kept)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        raise PrivilegeError(f"cannot give up what is not needed: {error.strerror}") from None
    return kept


def lower(*, keep: Capabilities, reserve: Capabilities) -> Capabilities:
    """Have `keep` effective and `reserve` in hand from now on, and pass nothing on to programs; for the director.

    Unlike `confine` this can be lived with by the programs that hooks start: neither no_new_privs (sendmail is
    set-group-id) nor the bounding set. One that root starts is root's; one of any other user has no capability, though
    a service manager gave us some as ambient. Returns what of `keep` we have.
    """
    had = permitted()
    kept = keep & had
    _set_ambient(frozenset())
    _set_capabilities(permitted=kept | (reserve & had), effective=kept, inheritable=frozenset())
    return kept


@contextmanager
def lending(wanted: Capabilities) -> Iterator[None]:
    """While this is open, a program started by this thread has `wanted`, as far as we have it permitted."""
    before = _read_capabilities()
    lent = _mask(wanted) & before.permitted
    _write_capabilities(_Sets(before.effective, before.permitted, before.inheritable | lent))
    ambient = _ambient()
    try:
        _raise_ambient(lent)
        yield
    finally:
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
        _raise_ambient(ambient)
        _write_capabilities(before)


@contextmanager
def using(wanted: Capabilities) -> Iterator[None]:
    """While this is open, this thread itself has `wanted`, as far as we have it permitted."""
    before = _read_capabilities()
    used = _mask(wanted) & before.permitted
    _write_capabilities(_Sets(before.effective | used, before.permitted, before.inheritable))
    try:
        yield
    finally:
        _write_capabilities(before)


def needed(*, user: str | None, netns: str | None, keep: Capabilities) -> Capabilities:
    """What a child must be lent to confine itself with the same arguments: `keep`, and the rights to get there."""
    wanted = set(keep) | {Capability.SETPCAP}
    if user is not None and not is_us(user):
        wanted |= {Capability.SETUID, Capability.SETGID}
    if netns is not None:
        wanted.add(Capability.SYS_ADMIN)
    return frozenset(wanted)


def permitted() -> Capabilities:
    """Those capabilities of ours that healthd knows."""
    mask = _read_capabilities().permitted
    return frozenset(capability for capability in Capability if mask >> capability & 1)


def marks_need_admin(release: str) -> bool:
    """True if SO_MARK needs CAP_NET_ADMIN on a kernel of this release; since 5.17 CAP_NET_RAW is enough.

    A kernel into which that change was carried back is taken for an old one: its prober of marked probes has a
    capability more than it needs, and works.
    """
    digits = release.split("-", maxsplit=1)[0].split(".")
    try:
        return (int(digits[0]), int(digits[1])) < (5, 17)
    except (IndexError, ValueError):
        return True


def is_us(user: str) -> bool:
    """True if `user` (name or number) is who we are already. Raises PrivilegeError for an unknown one."""
    return _account(user).pw_uid == os.getuid() == os.geteuid()


def enter_namespace(netns: str) -> None:
    """Enter a network namespace by name or path. Raises PrivilegeError."""
    path = namespace_path(netns)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PrivilegeError(f"network namespace {netns!r}: cannot open {path}: {error.strerror}") from None
    try:
        _check(_libc.setns(fd, _CLONE_NEWNET))
    except OSError as error:
        raise PrivilegeError(f"network namespace {netns!r}: {_why_not_entered(error)}") from None
    finally:
        os.close(fd)


def namespace_path(netns: str) -> str:
    """Where the namespace stands in the file system: `ip netns` keeps names below /run/netns."""
    return netns if "/" in netns else f"/run/netns/{netns}"


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, instead of init (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal: int, parent: int) -> None:
    """Be sent `signal` when the parent's thread that started us ends. Call it after `confine`, which would undo it.

    parent: its process id; if that has gone already, we end here and now.
    """
    _prctl(_PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:
        raise SystemExit(0)


def show_as(name: str) -> None:
    """Show up under this name (15 bytes at most) in ps and top."""
    text = ctypes.create_string_buffer(name.encode()[:15])
    _check(_libc.prctl(_PR_SET_NAME, text, 0, 0, 0))


# --- users -------------------------------------------------------------------------------------------------------


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        raise PrivilegeError(f"there is no user {user!r}") from None


def _become(account: pwd.struct_passwd) -> None:
    if os.getuid() == os.geteuid() == account.pw_uid != 0:
        return
    _prctl(_PR_SET_KEEPCAPS, 1)
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    except PermissionError:
        raise PrivilegeError(
            f"no right to switch to user {account.pw_name!r} (needs CAP_SETUID and CAP_SETGID)"
        ) from None
    finally:
        _prctl(_PR_SET_KEEPCAPS, 0)


def _why_not_entered(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "no right to enter it (needs CAP_SYS_ADMIN)"
    if error.errno == errno.EINVAL:
        return "not a network namespace"
    return str(error.strerror)


# --- capabilities ------------------------------------------------------------------------------------------------


class _Sets:
    """The three sets of capset(2), each a mask of 64 bits."""

    __slots__ = ("effective", "inheritable", "permitted")

    def __init__(self, effective: int, permitted: int, inheritable: int) -> None:
        self.effective = effective
        self.permitted = permitted
        self.inheritable = inheritable


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


_Data = ctypes.c_uint32 * 6  # effective, permitted, inheritable of bits 0..31, then of 32..63


def _read_capabilities() -> _Sets:
    header, data = _Header(_CAPABILITY_VERSION_3, 0), _Data()
    _check(_libc.capget(ctypes.byref(header), ctypes.byref(data)))
    low_high = [data[i] | data[i + 3] << 32 for i in range(3)]
    return _Sets(*low_high)


def _write_capabilities(sets: _Sets) -> None:
    masks = (sets.effective, sets.permitted, sets.inheritable)
    data = _Data(*(mask & 0xFFFFFFFF for mask in masks), *(mask >> 32 for mask in masks))
    _check(_libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(data)))


def _set_capabilities(*, permitted: Capabilities, effective: Capabilities, inheritable: Capabilities) -> None:
    _write_capabilities(_Sets(_mask(effective), _mask(permitted), _mask(inheritable)))


def _mask(capabilities: Capabilities) -> int:
    return sum(1 << capability for capability in capabilities)


def _set_ambient(capabilities: Capabilities) -> None:
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    _raise_ambient(_mask(capabilities))


def _raise_ambient(mask: int) -> None:
    for number in _bits(mask):
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number)


def _ambient() -> int:
    held = 0
    number = 0
    while (present := _libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_IS_SET, number, 0, 0)) >= 0:
        held |= present << number
        number += 1
    return held


def _cut_bounding_set(keep: Capabilities) -> None:
    """Take everything but `keep` out of the bounding set, if we may: without CAP_SETPCAP it stays as it is."""
    number = 0
    while (present := _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:
        if present and number not in keep:
            try:
                _prctl(_PR_CAPBSET_DROP, number)
            except PermissionError:
                return
        number += 1


def _bits(mask: int) -> Iterator[int]:
    return (number for number in range(mask.bit_length()) if mask >> number & 1)


def _prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _check(_libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)))


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
