"""The seam to an IPVS table: two verbs, `snapshot` and `apply`, and the errors they know."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from healthd.model import Connections, Counters, DestKey, ServiceKey, SyncDaemon, Table, Timeouts
from healthd.ops import DestOp, Op, describe


class RowRefused(Exception):
    """The table did not do one operation. code: the errno.

    `is_conflict` tells the two cases apart: the row is there or missing although we believed otherwise (somebody else
    wrote: read again), or the operation itself is not acceptable (reading again will not help).
    """

    def __init__(self, op: Op, code: int, hint: str = "") -> None:
        self.op = op
        self.code = code
        self.hint = hint
        super().__init__(f"{describe(op)}: {os.strerror(code)}{f' ({hint})' if hint else ''}")

    @property
    def is_conflict(self) -> bool:
        """True if the table was not as believed (EEXIST, ESRCH, ENOENT for a destination).

        ENOENT for a service is a scheduler or persistence engine that the kernel does not have.
        """
        gone = self.code == errno.ENOENT and isinstance(self.op, DestOp)
        return gone or self.code in (errno.EEXIST, errno.ESRCH)


class TableUnavailable(Exception):
    """No table to talk to: no permission, no module, no such namespace, socket lost. One sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class ServiceCounters:
    """Counters of one service and of each of its destinations."""

    totals: Counters
    dests: Mapping[DestKey, Connections]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table as it was read; complete or not at all. sync: the running daemons. counters: empty unless asked for."""

    services: Table
    timeouts: Timeouts = Timeouts()
    sync: tuple[SyncDaemon, ...] = ()
    counters: Mapping[ServiceKey, ServiceCounters] = field(default_factory=dict)


class IpvsTable(Protocol):
    """A table of virtual services."""

    async def snapshot(self, only: Collection[ServiceKey] | None = None, *, counters: bool = False) -> Snapshot:
        """Read the table (or the services in `only`; those that do not exist are not in the answer).

        Raises TableUnavailable. A read that may have missed rows is repeated, never returned.
        """
        ...

    async def apply(self, ops: Sequence[Op]) -> list[RowRefused | None]:
        """Do all operations in order; one answer each, None for done. One refused does not stop the others.

        Raises TableUnavailable if the table is lost; what had been done then must be read again.
        """
        ...

    async def close(self) -> None:
        """Release the table's resources; the table itself stays."""
        ...
