"""Runs one command in a virtual machine that boots on this machine's own files.

Two virtio ports lead out: "rig.output" carries what the command prints, "rig.status" first says "up", then the exit
status. No root, KVM, daemon or network is needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import initramfs, kernel
from .command import Command, RigUnavailable

QEMU = "qemu-system-x86_64"
OUT_OF_TIME, DIED = 124, 125
BOOT_LIMIT = 180.0  # seconds; 3 when all is quiet, 75 have been seen on a machine whose disk stalls
APPEND = (
    "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check audit=0 apparmor=0 nokaslr "
    "random.trust_cpu=on net.ifnames=0"
)
# CPU models: a fixed one under emulation (x86-64-v2, cheaper than "max"), the real one under KVM
ACCELERATORS = {"tcg": ("tcg,thread=multi,tb-size=512", "Nehalem"), "kvm": ("kvm", "host")}


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the machine is made of. accel: tcg or kvm. memory: as QEMU writes it."""

    cpus: str = "2"
    memory: str = "2G"
    accel: str = "tcg"


@dataclass(frozen=True, slots=True)
class Files:
    """Where one run keeps its files. output is the number of the descriptor that takes the command's output."""

    initrd: Path
    status: Path
    console: Path
    output: int


class NotUp(Exception):
    """The machine ended, or said nothing for too long, before the command was started."""


def available() -> str | None:
    """None if a machine can be started here, otherwise why not."""
    missing = {QEMU: "qemu-system-x86", "busybox": "busybox-static"}
    packages = [package for tool, package in missing.items() if shutil.which(tool) is None]
    return f"the virtual machine needs the packages {' '.join(packages)}" if packages else None


def slowness(hardware: Hardware) -> int:
    """How many times slower than this machine a program runs inside, roughly: 17 to 45 were measured for TCG."""
    return 10 if hardware.accel == "tcg" else 2


def run(command: Command, kept: Path, console: Path, hardware: Hardware) -> int:
    """Run a command and return its exit status. Starts over once if the machine did not come up.

    kept: directory of the kernel. console: file for the machine's console. Raises RigUnavailable.
    """
    if why := available():
        raise RigUnavailable(why)
    booted = kernel.ensure(kept)
    for attempt in (1, 2):
        try:
            return _once(command, booted, console, hardware)
        except NotUp as error:
            print(f"rig: {error} (attempt {attempt} of 2); its console ended with\n{_tail(console)}", file=sys.stderr)
    return DIED


def _once(command: Command, booted: kernel.Kernel, console: Path, hardware: Hardware) -> int:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="rig.", dir=shm if os.access(shm, os.W_OK) else None) as scratch:
        initrd, status = Path(scratch) / "initrd", Path(scratch) / "status"
        initrd.write_bytes(initramfs.build(booted, command.script(), command.writable))
        status.touch()
        with _output() as output:
            argv = arguments(booted, Files(initrd, status, console, output), command.writable, hardware)
            machine = subprocess.Popen(_tied_to_us(argv), stdin=subprocess.DEVNULL, pass_fds=(output,))
            try:
                return _watch(machine, status, console, command.timeout)
            finally:
                machine.kill()
                machine.wait()


def _tied_to_us(argv: Sequence[str]) -> list[str]:
    """The same command, ended by the kernel if this process ends in whatever way."""
    return [*(["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []), *argv]


@contextlib.contextmanager
def _output() -> Iterator[int]:
    """A descriptor whose bytes appear on our standard output; all of them have when the block is left."""
    source, sink = os.pipe()

    def pump() -> None:
        with os.fdopen(source, "rb", buffering=0) as stream:
            while data := stream.read(65536):
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        os.close(sink)
        thread.join(10)


def arguments(booted: kernel.Kernel, files: Files, writable: Sequence[Path], hardware: Hardware) -> list[str]:
    """QEMU's command line."""
    accel, cpu = ACCELERATORS[hardware.accel]
    return [
        *(QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", "q35", "-accel", accel, "-cpu", cpu, "-smp", hardware.cpus, "-m", hardware.memory),
        *("-kernel", str(booted.image), "-initrd", str(files.initrd), "-append", APPEND),
        *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
        *("-chardev", f"file,id=console,path={_escaped(files.console)}", "-serial", "chardev:console"),
        # a file that is appended to, not "stdio": QEMU closes that port for ever when its own standard input ends
        *("-chardev", f"file,id=output,append=on,path=/proc/self/fd/{files.output}"),
        *("-device", "virtserialport,chardev=output,name=rig.output"),
        *("-chardev", f"file,id=status,path={_escaped(files.status)}"),
        *("-device", "virtserialport,chardev=status,name=rig.status"),
        *_share("root", Path("/"), ",readonly=on"),
        *(part for number, path in enumerate(writable) for part in _share(f"rw{number}", path, "")),
    ]


def _share(name: str, path: Path, options: str) -> tuple[str, ...]:
    backend = f"local,id={name},path={_escaped(path)},security_model=none,multidevs=remap{options}"
    return ("-fsdev", backend, "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}")


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def _watch(machine: subprocess.Popen[bytes], status: Path, console: Path, timeout: float) -> int:
    """Wait for the command's status, at most `timeout` seconds. Raises NotUp."""
    begun = time.monotonic()
    while True:
        ended = _ended(machine, 0.1)
        said = status.read_text()
        if "status " in said:
            _ended(machine, 10)
            return int(said.rpartition("status ")[2])
        waited = time.monotonic() - begun
        if not said and (ended or waited > min(BOOT_LIMIT, timeout)):
            raise NotUp(f"the virtual machine did not come up within {waited:.0f} s")
        if ended:
            print(f"rig: the virtual machine died; its console ended with\n{_tail(console)}", file=sys.stderr)
            return DIED
        if waited > timeout:
            print(f"rig: out of time after {timeout:.0f} s; the console ended with\n{_tail(console)}", file=sys.stderr)
            return OUT_OF_TIME


def _ended(machine: subprocess.Popen[bytes], within: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        machine.wait(within)
        return True
    return False


def _tail(console: Path) -> str:
    return console.read_text(errors="replace")[-4000:] if console.exists() else ""


def from_environment(environment: Mapping[str, str]) -> Hardware:
    """The hardware that RIG_SMP, RIG_MEMORY and RIG_ACCEL ask for."""
    accel = environment.get("RIG_ACCEL", "tcg")
    if accel not in ACCELERATORS:
        raise RigUnavailable(f"RIG_ACCEL={accel} is not known: tcg or kvm")
    return Hardware(environment.get("RIG_SMP", "2"), environment.get("RIG_MEMORY", "2G"), accel)


def end_cleanly_when_told() -> None:
    """SIGTERM unwinds like an error, so that scratch files go."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
