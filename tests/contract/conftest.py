"""A table to hold to the contract: in memory, and the kernel's in a network namespace of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from healthd.ipvs.base import IpvsTable
from healthd.ipvs.kernel import KernelTable
from healthd.ipvs.memory import MemoryTable
from healthd.ops import Op
from tests.rig.namespace import Namespace

NUMBERS = count(1)
INTERFACE = "sync0"


@dataclass(frozen=True, slots=True)
class Place:
    """A table, and a way to change it behind its back. interface: one that synchronisation daemons may run on."""

    table: IpvsTable
    other: IpvsTable
    interface: str = INTERFACE

    async def do(self, *ops: Op) -> None:
        """Apply operations that must all be done."""
        assert await self.table.apply(ops) == [None] * len(ops)

    async def codes(self, *ops: Op) -> list[int]:
        """Apply operations; the errno of each, 0 for done."""
        return [0 if answer is None else answer.code for answer in await self.table.apply(ops)]

    async def stranger(self, *ops: Op) -> None:
        """Somebody else changes the table."""
        assert await self.other.apply(ops) == [None] * len(ops)


@pytest.fixture(params=["memory", pytest.param("kernel", marks=pytest.mark.kernel)])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """An empty table of each kind."""
    if request.param == "memory":
        table = MemoryTable(interfaces=(INTERFACE,))
        yield Place(table, table)
        return
    namespace: Namespace = request.getfixturevalue("own_namespace")
    kernel, other = KernelTable(namespace.name), KernelTable(namespace.name)
    yield Place(kernel, other)
    await kernel.close()
    await other.close()


@pytest.fixture
def own_namespace() -> Iterator[Namespace]:
    """A fresh network namespace with loopback and one interface that is up and has addresses."""
    if "HEALTHD_RIG" not in os.environ:
        pytest.skip("runs in the rig: tests/rig/run")
    made = Namespace.create(f"contract{next(NUMBERS)}")
    made.ip(
        f"link add name {INTERFACE} type dummy",
        f"link set dev {INTERFACE} up",
        f"addr add 10.77.0.1/24 dev {INTERFACE}",
        f"addr add fd77::1/64 dev {INTERFACE} nodad",
    )
    yield made
    made.delete()
    assert not Path("/run/netns", made.name).exists()
