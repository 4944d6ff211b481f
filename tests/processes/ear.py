"""A sink that remembers what a prober says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from healthd.health import Phase
from healthd.prober.base import Observation, Summary


@dataclass
class Ear:
    """A sink that remembers."""

    observations: list[Observation] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)

    def observed(self, batch: Sequence[Observation]) -> None:
        """Remember."""
        self.observations += batch

    def summarised(self, summary: Summary) -> None:
        """Remember."""
        self.summaries.append(summary)

    def lost(self, why: str) -> None:
        """Remember."""
        self.losses.append(why)

    def of(self, number: int) -> list[Observation]:
        """Observations of a probe."""
        return [one for one in self.observations if one.probe == number]

    def phase(self, number: int) -> Phase | None:
        """Phase after the last observation of a probe, by its only watch."""
        seen = self.of(number)
        return seen[-1].healths[0][1].phase if seen else None

    def said(self, number: int) -> str:
        """Detail of the last observation of a probe."""
        seen = self.of(number)
        return seen[-1].verdict.detail if seen else ""
