"""What probes found is handed on as it comes, for files that have a line for each."""

from __future__ import annotations

import time

from healthd.check import Outcome, Verdict
from healthd.director import SLOT, Director
from healthd.ipvs.memory import MemoryTable
from healthd.prober.base import Observation


async def test_a_director_that_is_behind_hands_on_every_verdict():
    """It needs only the last few itself; nothing of a burst is missing in a monitor file."""
    seen = []
    director = Director(
        MemoryTable(), lambda event: None, time.monotonic, time.time, lambda _, batch: seen.extend(batch)
    )
    batch = [Observation(1, Verdict(Outcome.PASS), float(number), 0.1, ()) for number in range(SLOT * 4)]
    for one in batch:
        director.observed([one])
    await director.turn()
    assert seen == batch
