"""The Debian package, built once for all tests of one run."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

import healthd

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The package, as the one command builds it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "debian"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of one run share it
        return next(folder.glob("*.deb"), None) or built(folder)


def built(folder: Path) -> Path:
    argv = [ROOT / "packaging/debian/build", folder]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return Path(ran.stdout.strip())


@pytest.fixture(scope="session")
def newer(package, tmp_path_factory):
    """The next version, which has a line more in its healthd.toml."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "-R", package, folder / "root"], check=True)
    control = folder / "root/DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {healthd.__version__}-1", "Version: 99-1"))
    with (folder / "root/etc/healthd/healthd.toml").open("a") as file:
        file.write("# something new\n")
    package = folder / "healthd.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", folder / "root", package], check=True)
    return package
