"""A memory table that watches every single write, and can be cut off in the middle of a batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from healthd.ipvs.base import RowRefused, Snapshot
from healthd.ipvs.memory import MemoryTable
from healthd.model import DestKey, Service, ServiceKey
from healthd.ops import AddDest, Op, SetDest


@dataclass(frozen=True, slots=True)
class Step:
    """One write: the service before and after it. blind: a stranger's edit of the service was not read yet."""

    op: Op
    before: Service | None
    after: Service | None
    blind: bool


class WatchedTable(MemoryTable):
    """A memory table with a record of its life.

    steps: every write so far. refusing: destinations whose rows it does not take with a weight. cut: what to raise once
    `cut_after` more operations have been done. unread: services that a stranger edited since they were last read.
    meddled: whether a stranger ever edited anything.
    """

    def __init__(self) -> None:
        super().__init__(refuse=self._refuses)
        self.steps: list[Step] = []
        self.refusing: set[tuple[ServiceKey, DestKey]] = set()
        self.cut: Exception | None = None
        self.cut_after = 0
        self.meddled = False
        self.unread: set[ServiceKey] = set()

    async def snapshot(self, only: Collection[ServiceKey] | None = None, *, counters: bool = False) -> Snapshot:
        """Read the table, as MemoryTable does."""
        found = await super().snapshot(only, counters=counters)
        self.unread -= set(only) if only is not None else self.unread
        return found

    async def apply(self, ops: Sequence[Op]) -> list[RowRefused | None]:
        """Do operations one by one; cut off, those before the cut are done and never acknowledged."""
        answers: list[RowRefused | None] = []
        for op in ops:
            if self.cut is not None:
                if self.cut_after == 0:
                    cut, self.cut = self.cut, None
                    raise cut
                self.cut_after -= 1
            answers.append(await self._watched(op))
        return answers

    async def _watched(self, op: Op) -> RowRefused | None:
        key = op.service  # type: ignore[union-attr]  # these tests plan rows only
        before = await self.service(key)
        (answer,) = await super().apply([op])
        if answer is None:
            self.steps.append(Step(op, before, await self.service(key), key in self.unread))
        return answer

    async def service(self, key: ServiceKey) -> Service | None:
        """One service as it is, whether the table is available or not."""
        away, self.unavailable = self.unavailable, ""
        found = await super().snapshot([key])
        self.unavailable = away
        return found.services.get(key)

    def meddle(self, *ops: Op) -> None:
        """Edit as a stranger would; what cannot be done is not."""
        for op in ops:
            try:
                self.edit(op)
            except RowRefused:
                continue
            self.meddled = True
            self.unread.add(op.service)  # type: ignore[union-attr]

    def _refuses(self, op: Op) -> int:
        if isinstance(op, AddDest | SetDest) and op.spec.weight and (op.service, op.dest) in self.refusing:
            return 22
        return 0
