"""The virtual machine's first file system: busybox, a few modules, and two scripts. A cpio archive in "newc" form.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .command import RigUnavailable
from .kernel import Kernel

GUEST = Path(__file__).parent / "guest"
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "virtio_rng", "af_packet")
SUFFIX = re.compile(r"\.ko(\.(?:xz|gz|zst))?$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or device of an archive. device: major and minor number."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """A directory."""
    return Entry(name, stat.S_IFDIR | 0o755)


def program(name: str, data: bytes) -> Entry:
    """A file, executable."""
    return Entry(name, stat.S_IFREG | 0o755, data)


def cpio(entries: Iterable[Entry]) -> bytes:
    """The archive of these entries."""
    out = bytearray()
    for number, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], start=1):
        name = entry.name.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % value for value in fields) + name
        out += b"\0" * (-len(out) % 4) + entry.data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def module_order(dependencies: str, wanted: Iterable[str]) -> list[str]:
    """Paths of modules in the order to load them, from the text of modules.dep; what is built in is not there."""
    needs: dict[str, list[str]] = {}
    for line in dependencies.splitlines():
        path, _, rest = line.partition(":")
        name = SUFFIX.sub("", path.rpartition("/")[2]).replace("-", "_")
        needs[name] = [*reversed(rest.split()), path]
    return list(dict.fromkeys(path for name in wanted for path in needs.get(name, ())))


def build(kernel: Kernel, script: str, writable: Iterable[Path]) -> bytes:
    """The archive that boots into `script`, with the host's files below."""
    modules = kernel.modules / kernel.version
    order = module_order((modules / "modules.dep").read_text(), MODULES)
    names = [SUFFIX.sub(".ko", path.rpartition("/")[2]) for path in order]
    return cpio(
        [
            *(directory(name) for name in ("bin", "dev", "rig", "rig/modules")),
            Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
            program("bin/busybox", _busybox().read_bytes()),
            program("init", (GUEST / "init").read_bytes()),
            program("rig/session", (GUEST / "session").read_bytes()),
            program("rig/command", script.encode()),
            program("rig/tree", f"{kernel.modules}\n".encode()),
            program("rig/writable", "".join(f"{path}\n" for path in writable).encode()),
            program("rig/order", "".join(f"{name}\n" for name in names).encode()),
            *(
                program(f"rig/modules/{name}", unpacked(modules / path))
                for name, path in zip(names, order, strict=True)
            ),
        ]
    )


def _busybox() -> Path:
    found = shutil.which("busybox") or shutil.which("busybox", path="/bin:/usr/bin")
    if found is None:
        raise RigUnavailable("busybox is missing: install the package busybox-static")
    return Path(found)


def unpacked(path: Path) -> bytes:
    """A module's bytes, whatever packs its file."""
    data = path.read_bytes()
    match path.suffix:
        case ".xz":
            return lzma.decompress(data)
        case ".gz":
            return gzip.decompress(data)
        case ".zst":
            return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
        case _:
            return data
