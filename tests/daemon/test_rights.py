"""What the director may do: no more than it needs, and nothing that its hooks would inherit."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from healthd.config.schema import Settings, TableSettings
from healthd.privileges import Capability
from healthd.startup import rights

NET_ADMIN, NET_RAW, SYS_ADMIN = Capability.NET_ADMIN, Capability.NET_RAW, Capability.SYS_ADMIN

AS_A_SERVICE = """
import asyncio, pathlib, sys
from healthd.config.load import load
from healthd.daemon import Options
from healthd.startup import serve
from healthd.ipvs.memory import MemoryTable
from healthd.privileges import Capability, confine

path = pathlib.Path(sys.argv[1])
config = load(path).config
confine(user="65534", keep=frozenset({Capability.NET_ADMIN, Capability.NET_RAW}))

async def main():
    running = asyncio.create_task(serve(config, Options(path, MemoryTable(), in_process=True)))
    while not (path.parent / "run" / "control.sock").exists():
        await asyncio.sleep(0.05)
        assert not running.done(), running
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(*(line.split()[1] for line in lines if line.startswith(("CapEff", "CapAmb", "CapInh"))))
    sys.stdout.flush()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

asyncio.run(main())
"""


def test_the_director_keeps_the_tables_right_and_what_its_place_needs():
    """CAP_NET_RAW is the prober's, CAP_SYS_ADMIN only enters another namespace."""
    there = replace(Settings(), table=TableSettings(netns="lb"))

    assert rights(Settings(), in_process=False) == {NET_ADMIN}
    assert rights(Settings(), in_process=True) == {NET_ADMIN, NET_RAW}
    assert rights(there, in_process=False) == {NET_ADMIN, SYS_ADMIN}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user with single rights")
def test_what_a_service_manager_gave_as_ambient_reaches_no_hook(tmp_path: Path):
    """Nothing is ambient or inheritable any more, and only what is needed is effective."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for parent in tmp_path.parents:
        if parent != Path("/") and parent.owner() == "root":
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    config = tmp_path / "healthd.toml"
    config.write_text(f'[control]\nsocket = "{folder}/control.sock"\n')
    config.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", AS_A_SERVICE, str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    expected = 1 << NET_ADMIN | 1 << NET_RAW

    inheritable, effective, ambient = (int(word, 16) for word in done.stdout.split()) if done.stdout else (-1,) * 3
    assert (inheritable, effective, ambient) == (0, expected, 0), done.stderr
