"""Reading /proc: the kernel, its settings, listening sockets, processes, the clock. Nothing is changed.

What belongs to a network namespace is that of the calling thread (/proc/thread-self/net, and /proc/sys/net itself).
Files that are not there, or not for us, are facts as well: they give nothing.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

from healthd.doctor.facts import Clock, Kernel, Listener, OpenFiles, Program, Rights
from healthd.model import Protocol
from healthd.privileges import Capability

PROC, SYS, MODULES = Path("/proc"), Path("/sys"), Path("/lib/modules")
SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/vs/*",
    *(f"net/ipv4/conf/*/{n}" for n in ("rp_filter", "forwarding", "arp_ignore", "arp_announce", "send_redirects")),
    "net/ipv6/conf/all/forwarding",
    "net/ipv[46]/neigh/default/gc_thresh?",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_count",
)
IPVS_HEAD = re.compile(r"IP Virtual Server version (\S+) \(size=(\d+)\)")
LISTEN, UNCONNECTED = 0x0A, 0x07  # TCP_LISTEN; TCP_CLOSE, the state of a UDP socket that takes from anybody
SOCKETS = {"tcp": (Protocol.TCP, LISTEN), "tcp6": (Protocol.TCP, LISTEN), "udp": (Protocol.UDP, UNCONNECTED)}
SOCKETS["udp6"] = (Protocol.UDP, UNCONNECTED)
UNSYNCHRONISED = 0x40  # STA_UNSYNC, include/uapi/linux/timex.h
RIVALS = frozenset(("ldirectord", "keepalived", "ucarp", "vrrpd", "pacemakerd", "corosync", "heartbeat"))


def text(path: Path) -> str:
    """A file's text, empty if it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def sysctls() -> dict[str, str]:
    """The settings that matter to us, by path below /proc/sys."""
    root = PROC / "sys"
    files = [file for pattern in SETTINGS for file in root.glob(pattern)]
    values = {str(file.relative_to(root)): " ".join(text(file).split()) for file in files}
    return {key: value for key, value in values.items() if value}


def kernel(modules: Path = MODULES) -> Kernel:
    """The kernel, and IPVS as this thread's namespace has it."""
    release = os.uname().release
    table = text(PROC / "thread-self/net/ip_vs")
    head = IPVS_HEAD.search(table)
    rows = [line.split() for line in table.splitlines() if line.startswith("  -> ") and line.rstrip()[-1].isdigit()]
    return Kernel(
        release,
        head[1] if head else "",
        int(head[2]) if head else 0,
        sum(int(count) for row in rows for count in row[-2:]),
        _loaded(),
        _loadable(modules / release),
        text(PROC / "sys/kernel/modules_disabled").strip() == "1",
    )


def _loaded() -> frozenset[str]:
    """Modules of IPVS that are in the kernel now; of those that are part of it, the ones that have parameters."""
    listed = {line.split()[0] for line in text(PROC / "modules").splitlines()}
    listed.update(path.name for path in (SYS / "module").glob("ip_vs*"))
    return frozenset(name for name in listed if name.startswith("ip_vs"))


def _loadable(folder: Path) -> frozenset[str] | None:
    """Modules of IPVS that can be loaded, or are part of the kernel (modules.dep(5)); None without their lists."""
    lists = [text(folder / name) for name in ("modules.dep", "modules.builtin")]
    if not any(lists):
        return None
    files = [line.partition(":")[0] for one in lists for line in one.splitlines()]
    names = {Path(file).name.partition(".ko")[0] for file in files}
    return frozenset(name.replace("-", "_") for name in names if name.startswith("ip_vs"))


def default_devices() -> frozenset[str]:
    """Devices of IPv4 default routes of the main table."""
    rows = [line.split() for line in text(PROC / "thread-self/net/route").splitlines()[1:]]
    return frozenset(row[0] for row in rows if len(row) > 7 and int(row[1], 16) == int(row[7], 16) == 0)


def listeners() -> frozenset[Listener]:
    """Sockets of TCP and UDP that take what comes to a port."""
    return frozenset(found for name in SOCKETS for found in _listening(name))


def _listening(name: str) -> Iterator[Listener]:
    protocol, wanted = SOCKETS[name]
    for line in text(PROC / "thread-self/net" / name).splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if int(state, 16) == wanted:
            digits, _, port = local.partition(":")
            address = _address(digits)
            yield Listener(protocol, ip_address(address) if any(address) else None, int(port, 16))


def _address(digits: str) -> bytes:
    """An address as /proc/net writes it: words of 32 bits in the machine's own order."""
    words = [bytes.fromhex(digits[start : start + 8]) for start in range(0, len(digits), 8)]
    return b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)


# --- processes --------------------------------------------------------------------------------------------------


def rights(pid: int | str, who: str) -> Rights | None:
    """What a process may do; None if it cannot be seen."""
    found = re.search(r"^CapPrm:\s*(\w+)$", text(PROC / f"{pid}/status"), re.MULTILINE)
    if found is None:
        return None
    mask = int(found[1], 16)
    return Rights(who, frozenset(one for one in Capability if mask >> one & 1), _file_limits(pid)[1])


def _file_limits(pid: int | str) -> tuple[int | None, int | None]:
    """Soft and hard limit of open files; None where there is none."""
    found = re.search(r"^Max open files\s+(\w+)\s+(\w+)", text(PROC / f"{pid}/limits"), re.MULTILINE)
    soft, hard = found.groups() if found else ("", "")
    return int(soft) if soft.isdecimal() else None, int(hard) if hard.isdecimal() else None


def open_files(pid: int) -> tuple[OpenFiles, ...]:
    """The open files of a process and its children, as far as we may look."""
    children = text(PROC / f"{pid}/task/{pid}/children").split()
    found = [_open_files(each) for each in (pid, *map(int, children))]
    return tuple(each for each in found if each is not None)


def _open_files(pid: int) -> OpenFiles | None:
    limit = _file_limits(pid)[0]
    try:
        count = len(os.listdir(PROC / f"{pid}/fd"))  # noqa: PTH208 - names alone
    except OSError:
        return None
    return None if limit is None else OpenFiles(pid, text(PROC / f"{pid}/comm").strip(), count, limit)


def programs() -> tuple[Program, ...]:
    """Programs of the same trade that run in this thread's namespace, or where that cannot be told, at all."""
    here = _namespace("thread-self")
    found = [each for path in PROC.glob("[0-9]*") if (each := _program(path.name)) is not None]
    children = {child for one in found for child in text(PROC / f"{one.pid}/task/{one.pid}/children").split()}
    mine = [one for one in found if str(one.pid) not in children and _namespace(one.pid) in (here, None)]
    return tuple(sorted(mine, key=lambda one: one.pid))


def _namespace(pid: int | str) -> int | None:
    try:
        return (PROC / f"{pid}/ns/net").stat().st_ino
    except OSError:
        return None


def _program(pid: str) -> Program | None:
    words = text(PROC / pid / "cmdline").rstrip("\0").split("\0")
    name = Path(words[0]).name
    if name.startswith("perl"):
        script, *rest = [word for word in words[1:] if not word.startswith("-")] or [""]
        given = rest[0] if len(rest) > 1 else ""
        return Program("ldirectord", int(pid), given, True) if Path(script).name == "ldirectord" else None
    if name not in RIVALS or text(PROC / pid / "comm").strip() not in RIVALS:
        return None
    return _keepalived(int(pid), words) if name == "keepalived" else Program(name, int(pid), writes=False)


def _keepalived(pid: int, words: list[str]) -> Program:
    after = dict(pairwise(words))
    joined = {key: value for key, _, value in (word.partition("=") for word in words)}
    file = after.get("-f") or after.get("--use-file") or joined.get("--use-file") or "/etc/keepalived/keepalived.conf"
    found = text(PROC / f"{pid}/root{file}") or text(Path(file))
    has = re.search(r"^\s*(virtual_server|include)\b", found, re.MULTILINE)
    if not found or (has and has[1] == "include"):
        return Program("keepalived", pid, file, None)
    return Program("keepalived", pid, file, has is not None)


# --- time -------------------------------------------------------------------------------------------------------


class _Timex(ctypes.Structure):
    """The beginning of struct timex, adjtimex(2); the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def clock(control: Path, pid: int | None) -> Clock:
    """The clock. control, pid: socket and number of the running daemon, which tell when it began by either clock."""
    asked = _Timex()
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked))
    return Clock(
        None if answer < 0 else not asked.status & UNSYNCHRONISED, None if pid is None else _step(control, pid)
    )


def _step(control: Path, pid: int) -> float | None:
    """By how much the time of day is later than it should be, going by what it was when the daemon made its socket.

    The time of boot that /proc/stat tells is the time of day less the time since: it moves when that is set.
    """
    booted = re.search(r"^btime (\d+)$", text(PROC / "stat"), re.MULTILINE)
    fields = text(PROC / f"{pid}/stat").rpartition(")")[2].split()
    try:
        made = control.stat().st_mtime
    except OSError:
        return None
    if booted is None or len(fields) < 20:
        return None
    return int(booted[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") - made
