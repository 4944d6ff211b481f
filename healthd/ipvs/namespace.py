"""Doing one thing in another network namespace, without leaving this one and without a child process.

A socket belongs for ever to the namespace of the thread that made it. So a fresh thread enters the namespace, makes
the socket and ends; nobody else's thread ever moves. pyroute2's own `netns=` forks a child for each socket and creates
a namespace that does not exist, so a typo would be an empty table: we open the file ourselves and hand over the
descriptor only.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

RUN_DIRECTORY = Path("/run/netns")


class NamespaceMissing(Exception):
    """There is no such network namespace; the text says where it was looked for."""


def namespace_path(netns: str) -> Path:
    """File of a namespace: a name below /run/netns (`ip netns`), or a path such as /proc/PID/ns/net."""
    return Path(netns) if "/" in netns else RUN_DIRECTORY / netns


def namespace_identity(netns: str) -> tuple[int, int]:
    """Device and inode of a namespace: another one of the same name has another identity. Raises NamespaceMissing."""
    try:
        status = namespace_path(netns).stat()
    except OSError as error:
        raise _missing(netns, error) from error
    return status.st_dev, status.st_ino


async def in_namespace(netns: str | None, action: Callable[[], T]) -> T:
    """Run a blocking action in a fresh thread inside a namespace (None: this one) and return what it returns.

    Raises NamespaceMissing, PermissionError if it may not be entered, and whatever the action raises.
    """
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, _inside, netns, action)
    finally:
        executor.shutdown(wait=False)


def _inside(netns: str | None, action: Callable[[], T]) -> T:
    if netns is not None:
        _enter(netns)
    return action()


def _enter(netns: str) -> None:
    from pyroute2.netns import setns

    try:
        descriptor = os.open(namespace_path(netns), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _missing(netns, error) from error
    try:
        setns(descriptor, flags=0, libc=ctypes.CDLL(None, use_errno=True))
    except OSError as error:
        raise PermissionError(error.errno, f"cannot enter network namespace {netns}") from error
    finally:
        os.close(descriptor)


def _missing(netns: str, error: OSError) -> NamespaceMissing:
    return NamespaceMissing(f"no network namespace {netns!r}: {namespace_path(netns)}: {error.strerror}")
