"""How often each probe has failed, or could not be asked: what a look now and then would miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from healthd.assignment import Assignment
from healthd.check import Outcome
from healthd.prober.base import Observation


class Failures:
    """Counts since a probe was first asked, by its id. failed, unsure: verdicts of either kind."""

    def __init__(self) -> None:
        self.failed: Counter[int] = Counter()
        self.unsure: Counter[int] = Counter()
        self._assignment = Assignment()

    def observed(self, assignment: Assignment, batch: Sequence[Observation]) -> None:
        """Take what probes found (a `director.Monitor`); probes that are asked no more are forgotten."""
        if assignment is not self._assignment:
            self._assignment = assignment
            self._forget_others({probe.id for probe in assignment.probes})
        for seen in batch:
            match seen.verdict.outcome:
                case Outcome.FAIL:
                    self.failed[seen.probe] += 1
                case Outcome.INCONCLUSIVE:
                    self.unsure[seen.probe] += 1

    def _forget_others(self, asked: set[int]) -> None:
        for counts in (self.failed, self.unsure):
            for gone in counts.keys() - asked:
                del counts[gone]
