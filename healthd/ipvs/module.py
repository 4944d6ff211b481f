"""Loading a kernel module by `modprobe`."""

from __future__ import annotations

import asyncio
import os
import shutil

SEARCH = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/bin", "/bin"))


async def load_module(name: str, patience: float = 10.0) -> str:
    """Load a module if that is possible within `patience` seconds. Returns why not, or an empty string."""
    program = shutil.which("modprobe", path=SEARCH)
    if program is None:
        return "there is no modprobe"
    try:
        process = await asyncio.create_subprocess_exec(
            program, name, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        return f"modprobe: {error.strerror}"
    try:
        _, said = await asyncio.wait_for(process.communicate(), patience)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"modprobe {name} did not end within {patience:g} s"
    return "" if process.returncode == 0 else _last_line(said) or f"modprobe {name} ended with {process.returncode}"


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
