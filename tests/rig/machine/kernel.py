"""A kernel for the virtual machine, from the distribution's own package. Needs no root.

The package's image is compressed; unpacking it inside the machine costs 3 s per boot under emulation, so the ELF image
is taken out once, here. Of the modules only those that a network test can use are kept: 30 of 400 MB.
"""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .command import RigUnavailable

META_PACKAGES = ("linux-image-amd64", "linux-image-generic")  # Debian, Ubuntu
ELF = b"\x7fELF"
TREES = (
    *("net", "lib", "crypto", "arch", "fs/9p", "fs/netfs", "fs/fscache", "fs/overlayfs", "drivers/virtio"),
    *("drivers/char/virtio_console", "drivers/char/hw_random", "drivers/net/dummy", "drivers/net/veth"),
    *("drivers/net/macvlan", "drivers/net/tun", "drivers/net/virtio_net", "drivers/net/vrf", "drivers/net/bonding"),
)
KEPT = re.compile(rf"boot/vmlinuz-|(usr/)?lib/modules/[^/]+/(modules\.|kernel/({'|'.join(TREES)})[/.])")
DROPPED = re.compile(r"/kernel/net/(bluetooth|mac80211|wireless|nfc|batman-adv|ceph|openvswitch|sunrpc|rxrpc|tipc)/")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel ready to boot. modules: the directory that holds the directory of its version."""

    version: str
    image: Path
    modules: Path


def ensure(directory: Path) -> Kernel:
    """The kernel kept in a directory, fetched now if there is none. Raises RigUnavailable."""
    if not (directory / "version").exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="kernel.", dir=directory.parent) as scratch:
            _build(Path(scratch))
            _put(Path(scratch) / "kept", directory)
    version = (directory / "version").read_text().strip()
    return Kernel(version, directory / "vmlinux", directory / "lib" / "modules")


def _put(made: Path, directory: Path) -> None:
    try:
        made.rename(directory)
    except OSError:  # somebody else was faster, or an unfinished one is in the way
        if not (directory / "version").exists():
            shutil.rmtree(directory)
            made.rename(directory)


def _build(scratch: Path) -> None:
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise RigUnavailable(
                f"{tool} is missing: the virtual machine's kernel comes from a Debian or Ubuntu archive"
            )
    tree, kept = scratch / "tree", scratch / "kept"
    for package in _packages():
        _run(["apt-get", "download", "-q", package], cwd=scratch)
    for archive in sorted(scratch.glob("*.deb")):
        _unpack(archive, tree)
    (image,) = (tree / "boot").glob("vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")
    (kept / "lib" / "modules").mkdir(parents=True)
    modules = next(path for path in (tree / "lib", tree / "usr" / "lib") if path.is_dir()) / "modules" / version
    modules.rename(kept / "lib" / "modules" / version)
    _run([_depmod(), "-b", str(kept), version], cwd=scratch)
    (kept / "vmlinux").write_bytes(elf_image(image.read_bytes()))
    (kept / "version").write_text(version + "\n")


def _packages() -> list[str]:
    """The packages that hold the newest kernel: image, and modules where they are apart."""
    for meta in META_PACKAGES:
        found = subprocess.run(
            ["apt-cache", "depends", "--important", meta], capture_output=True, text=True, check=False
        )
        if images := re.findall(r"Depends: (linux-image-\d\S+)", found.stdout):
            parts = subprocess.run(
                ["apt-cache", "depends", "--important", images[0]], capture_output=True, text=True, check=False
            )
            return [images[0], *re.findall(r"Depends: (linux-modules-\d\S+)", parts.stdout)]
    raise RigUnavailable("apt knows no kernel package: run `apt-get update` as root")


def _unpack(archive: Path, into: Path) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as unpacker:
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if KEPT.match(name) and not DROPPED.search("/" + name) and (content := tar.extractfile(member)):
                    target = into / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())


def _depmod() -> str:
    found = shutil.which("depmod") or shutil.which("depmod", path="/usr/sbin:/sbin")
    if found is None:
        raise RigUnavailable("depmod is missing: install the package kmod")
    return found


def _run(argv: list[str], cwd: Path) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RigUnavailable(f"{argv[0]} failed for the virtual machine's kernel: {done.stderr.strip()[-500:]}")


def elf_image(packed: bytes) -> bytes:
    """The ELF image inside a bzImage, found by trying every place that looks like the start of compressed data."""
    for magic, unpack in ((b"\xfd7zXZ\x00", _xz), (b"\x1f\x8b\x08", _gzip), (b"\x28\xb5\x2f\xfd", _zstd)):
        for at in _places(packed, magic):
            image = unpack(packed[at:])
            if image.startswith(ELF):
                return image
    raise RigUnavailable("the kernel's image is packed in a way this tool does not know (xz, gzip and zstd are known)")


def _places(data: bytes, wanted: bytes) -> Iterator[int]:
    at = data.find(wanted)
    while at >= 0:
        yield at
        at = data.find(wanted, at + 1)


def _xz(data: bytes) -> bytes:
    try:
        return lzma.LZMADecompressor().decompress(data)
    except lzma.LZMAError:
        return b""


def _gzip(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(data)
    except zlib.error:
        return b""


def _zstd(data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        raise RigUnavailable("zstd is missing: the kernel's image is packed with it, install the package zstd")
    # zstd complains about what follows the image and exits 1, having written all of it
    return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False).stdout
