"""The daemon as the systemd unit starts it: an ordinary user with CAP_NET_ADMIN and CAP_NET_RAW and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import ipvsadm
from tests.rig.daemon import Daemon, real, service
from tests.rig.patience import until

NOBODY = 65534
ADMIN, RAW = 1 << 12, 1 << 13  # as capabilities(7) numbers them
RIGHTS = "-all,+net_admin,+net_raw"
DROP = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --no-new-privs"
DROP += f" --inh-caps {RIGHTS} --ambient-caps {RIGHTS} --bounding-set {RIGHTS}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of that user's, to which every way is open to him."""
    path = Path(tempfile.mkdtemp(prefix="rights.", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def opened(folder: Path) -> Iterator[str]:
    """Commands that open, in a mount namespace, the way to this interpreter and these files, where root alone has it.

    The new upper layer's mode counts for the merged folder (overlayfs.rst, "Upper and Lower").
    """
    wanted = {*Path(sys.executable).resolve().parents, *Path(sys.executable).parents, *Path(__file__).resolve().parents}
    for number, closed in enumerate(sorted(p for p in wanted if not p.stat().st_mode & 0o001)):
        layer = folder / f"layer{number}"
        yield f"mkdir -p {layer}/upper {layer}/work"
        yield f"mount -t overlay -o lowerdir={closed},upperdir={layer}/upper,workdir={layer}/work overlay {closed}"


def around(folder: Path) -> list[str]:
    """What starts a program as that user."""
    ways = [f"mount -t tmpfs tmpfs {folder}/layers", *opened(folder / "layers")]
    script = "; ".join(["set -e", *ways, f"export HEALTHD_LOCKS={folder}/own", f'exec {DROP} -- "$@"'])
    (folder / "layers").mkdir()
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def capabilities(pid: int, name: str) -> int:
    """One of the capability sets of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith(name))


def test_with_two_capabilities_it_keeps_the_table_and_pings(director, servers, virtual, web, folder):
    address = virtual.masq()
    daemon = Daemon(director, folder / "own", around=around(folder))
    ping = '[[service.check]]\ntype = "ping"\n[[service.check]]\ntype = "tcp"\n'
    keys = f'virtual = "{address}:80"\nforward = "masq"\nscheduler = "rr"\n'
    daemon.write("www", service("www", keys + ping, "", [real(server.address) for server in servers]))
    for path in [folder / "own", *(folder / "own").rglob("*")]:
        shutil.chown(path, NOBODY, NOBODY)
    row = f"TCP {address}:80"
    try:
        daemon.start()
        until("all are in", lambda: list(ipvsadm.weights(director, row).values()) == [1, 1, 1], within=20)
        owner = Path(f"/proc/{daemon.pid}/status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in owner
        assert capabilities(daemon.pid, "CapEff:") == ADMIN
        assert capabilities(daemon.pid, "CapBnd:") == ADMIN | RAW
        web[0].crash()
        until("one is out", lambda: sorted(ipvsadm.weights(director, row).values()) == [0, 1, 1], within=20)
    finally:
        daemon.stop()


def unload() -> None:
    """Take IPVS out of the kernel, schedulers first."""
    loaded = [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]
    for name in sorted((name for name in loaded if name.startswith("ip_vs")), key=lambda name: name == "ip_vs"):
        subprocess.run(["modprobe", "-r", name], check=True)
    assert "ip_vs" not in [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]


@pytest.fixture
def without_module(director) -> Iterator[None]:
    """A kernel without IPVS, for a test; it has it again afterwards. Only in the rig's own machine."""
    if "ip_vs" not in [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]:
        pytest.fail("IPVS is built in here; run the rig with RIG_MODE=vm")
    unload()
    yield
    subprocess.run(["modprobe", "ip_vs"], check=True)


def test_a_missing_module_is_loaded_at_the_start(director, servers, virtual, web, tmp_path, without_module):
    address = virtual.masq()
    daemon = Daemon(director, tmp_path / "healthd")
    keys = f'virtual = "{address}:80"\nforward = "masq"\nscheduler = "rr"\n'
    daemon.write("www", service("www", keys, 'type = "tcp"', [real(server.address) for server in servers]))
    try:
        daemon.start()
        row = f"TCP {address}:80"
        until("all are in", lambda: list(ipvsadm.weights(director, row).values()) == [1, 1, 1], within=20)
    finally:
        daemon.stop()
