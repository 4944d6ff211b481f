"""The watcher of links, addresses and neighbours, on network namespaces and virtual interfaces of its own.

Needs root and network namespaces; each test makes its own namespace and removes it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import aclosing
from functools import partial
from ipaddress import ip_address
from operator import eq
from pathlib import Path
from uuid import uuid4

import pytest

from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.watch import AddressChange, LinkChange, LookAgain, NeighbourFailed, watch

PATIENCE = 30.0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=PATIENCE)


def _batch(netns, lines):
    """Blocks on purpose: nobody reads messages meanwhile."""
    subprocess.run(["ip", "-n", netns, "-batch", "-"], input=lines, text=True, check=True, timeout=PATIENCE)


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def _can_make_namespaces() -> bool:
    name = f"hd{uuid4().hex[:8]}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@pytest.fixture(scope="module", autouse=True)
def _namespaces_work():
    if os.geteuid() or not _can_make_namespaces():
        pytest.skip("needs root and network namespaces")


@pytest.fixture
def netns():
    name = f"hd{uuid4().hex[:8]}"
    _ip("netns", "add", name)
    yield name
    _ip("netns", "del", name)


async def _first(changes, wanted):
    """The first change for which `wanted` is true."""
    async with asyncio.timeout(PATIENCE):
        async for change in changes:
            if wanted(change):
                return change
    return None


async def _started(netns, **options):
    """A watcher that has surely begun: it is listening once it says something."""
    changes = watch(netns, **options)
    first = asyncio.ensure_future(anext(changes))
    while not first.done():
        await asyncio.to_thread(_ip, "-n", netns, "link", "set", "lo", "up")
        await asyncio.to_thread(_ip, "-n", netns, "link", "set", "lo", "down")
        await asyncio.wait([first], timeout=0.2)
    _ip("-n", netns, "link", "set", "lo", "up")
    return changes


async def test_a_link_that_goes_up_and_down_and_away_is_told(netns):
    async with aclosing(await _started(netns)) as changes:
        _ip("-n", netns, "link", "add", "va", "type", "veth", "peer", "name", "vb")
        _ip("-n", netns, "link", "set", "va", "up")
        _ip("-n", netns, "link", "set", "vb", "up")
        up = await _first(changes, lambda change: isinstance(change, LinkChange) and change.name == "va" and change.up)
        _ip("-n", netns, "link", "set", "vb", "down")
        down = await _first(changes, lambda change: isinstance(change, LinkChange) and change.name == "va")
        _ip("-n", netns, "link", "del", "va")
        gone = await _first(changes, lambda change: isinstance(change, LinkChange) and change.name == "vb")
    assert up == LinkChange("va", up.index, True)
    assert down == LinkChange("va", up.index, False)
    assert gone.up is False


async def test_addresses_of_both_families_are_told_when_added_and_removed(netns):
    wanted = [ip_address("192.0.2.7"), ip_address("2001:db8::7")]
    async with aclosing(await _started(netns)) as changes:
        for address in wanted:
            for verb, present in (("add", True), ("del", False)):
                _ip("-n", netns, "addr", verb, f"{address}/{address.max_prefixlen}", "dev", "lo")
                change = AddressChange(address, 1, present)
                assert await _first(changes, partial(eq, change)) == change


async def test_a_neighbour_that_does_not_answer_is_told(netns):
    async with aclosing(await _started(netns)) as changes:
        _ip("-n", netns, "link", "add", "va", "type", "veth", "peer", "name", "vb")
        _ip("-n", netns, "addr", "add", "192.0.2.1/24", "dev", "va")
        _ip("-n", netns, "link", "set", "va", "up")
        _ip("-n", netns, "link", "set", "vb", "up")
        # nobody is 192.0.2.9; NTF_USE makes the kernel ask for it
        _ip("-n", netns, "neigh", "replace", "192.0.2.9", "dev", "va", "use")
        failed = await _first(changes, lambda change: isinstance(change, NeighbourFailed))
    assert failed.address == ip_address("192.0.2.9")


async def test_lost_messages_are_a_reason_to_look_again_and_the_watch_goes_on(netns):
    async with aclosing(await _started(netns, receive_buffer=1)) as changes:
        batch = "".join(f"addr add 192.0.2.{n}/32 dev lo\n" for n in range(1, 200))
        _batch(netns, batch)
        assert await _first(changes, lambda change: isinstance(change, LookAgain)) == LookAgain()
        later = asyncio.ensure_future(_first(changes, lambda change: isinstance(change, AddressChange)))
        for n in range(200, 250):
            await asyncio.to_thread(_ip, "-n", netns, "addr", "add", f"192.0.2.{n}/32", "dev", "lo")
            await asyncio.sleep(0.05)
        assert isinstance(await later, AddressChange)


async def test_a_watch_that_ends_leaves_no_socket_open(netns):
    before = _open_files()
    for _ in range(3):
        await (await _started(netns)).aclose()
    await asyncio.sleep(0)
    assert _open_files() == before


async def test_a_cancelled_watcher_ends_at_once(netns):
    async def consume():
        async for _ in watch(netns):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE)


async def test_a_typo_does_not_create_a_namespace():
    name = f"hd{uuid4().hex[:8]}"
    with pytest.raises(TableUnavailable, match=f"no network namespace '{name}'"):
        await anext(watch(name))
    assert not (Path("/run/netns") / name).exists()
