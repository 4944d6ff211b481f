"""One scheduled probe: its rhythm, who watches it, what it said last; and the folding of verdicts into health."""

from __future__ import annotations

from healthd.check import Outcome, Passed, Verdict
from healthd.health import Health, Phase, Thresholds, observe
from healthd.prober.attempt import Attempt, Question
from healthd.prober.base import Answer, Observation, Probe
from healthd.prober.engine import Result
from healthd.prober.knock import Knock
from healthd.prober.memory import PASS_EVERY, answer_of, remembering
from healthd.prober.schedule import Rhythm

IDLE = -1
KNOCK = Knock()


class Entry:
    """A probe as the prober keeps it.

    at: milliseconds of the wheel's slot it waits in, IDLE while it is asked or waits its turn. due: milliseconds at
    which this asking was due. moved: it was put off once after a stall. again: ask again at once. steady: every watch
    is UP with no streak and `weight`, so a pass with that weight changes nothing, and nobody is to be told of it.
    doubted: the last verdict was no pass, so the next pass is told whatever it changes. knock: the question of a probe
    that only connects. knocks: so many of them come before the check is asked again, None where every probe asks it.
    knocking: the one under way only connects. past: answers that are remembered. remember_at: monotonic seconds from
    which on the next pass is to be remembered.
    """

    __slots__ = (
        "again",
        "at",
        "attempt",
        "detail",
        "doubted",
        "due",
        "gone",
        "healths",
        "knock",
        "knocking",
        "knocks",
        "limits",
        "moved",
        "past",
        "probe",
        "question",
        "reached",
        "remember_at",
        "rhythm",
        "steady",
        "took",
        "verdict",
        "weight",
    )

    def __init__(self, probe: Probe, rhythm: Rhythm) -> None:
        self.probe = probe
        self.rhythm = rhythm
        self.question = Question(probe.check, probe.target)
        self.at = self.due = IDLE
        self.attempt: Attempt | None = None
        self.knock = Question(KNOCK, probe.target) if probe.cadence.connects else None
        self.knocks: int | None = 0 if probe.cadence.connects else None
        self.knocking = False
        self.again = self.gone = self.moved = self.doubted = False
        self.verdict: Verdict | None = None
        self.detail = ""
        self.reached = self.took = self.remember_at = 0.0
        self.past: tuple[Answer, ...] = ()
        self.limits: dict[int, Thresholds] = {}
        self.healths: dict[int, Health] = {}
        self.take(probe)

    def take(self, probe: Probe) -> None:
        """Take what is new of the same probe: thresholds for all watches, health for those that are not here yet."""
        self.probe = probe
        self.limits = {watch.id: watch.thresholds for watch in probe.watches}
        self.healths = {watch.id: self.healths.get(watch.id, watch.health) for watch in probe.watches}
        self._settle()

    def next_question(self) -> Question:
        """What to ask now: the check, or only whether it connects (`Cadence.connects`)."""
        self.knocking = bool(self.knocks)
        return self.knock if self.knock is not None and self.knocking else self.question

    def count_knock(self, result: Result) -> Result:
        """Reckon what to ask next after this result; a pass of a knock asks for the weight that the check asked for."""
        if pass_of(result) is None:
            self.knocks = 0
            return result
        if not self.knocking:
            self.knocks = self.probe.cadence.connects
            return result
        assert self.knocks
        self.knocks -= 1
        return Passed("connected", self.weight)

    def fold_pass(self, detail: str, weight: int | None, now: float, took: float) -> bool:
        """Fold a pass in the common case that it changes nothing; False if it needs `fold`."""
        if not self.steady or self.doubted or weight != self.weight:
            return False
        self.verdict = None
        self.detail = detail
        self.reached = now
        self.took = took
        return True

    def fold(self, verdict: Verdict, now: float, took: float) -> Observation | None:
        """Fold a verdict. The observation to report; None for a pass that changes nothing and follows a pass.

        Of a probe that is `told`, every verdict is reported.
        """
        before, doubted = self.healths, self.doubted
        self.healths = {
            watch: observe(health, verdict.outcome, self.limits[watch], now, verdict.weight)
            for watch, health in before.items()
        }
        self.verdict, self.reached, self.took = verdict, now, took
        self.doubted = verdict.outcome is not Outcome.PASS
        self._settle()
        if not (self.doubted or doubted or self.probe.told) and self.healths == before:
            return None
        return self.last()

    def last(self) -> Observation | None:
        """The last observation, None before the first."""
        if not self.reached:
            return None
        verdict = self.verdict or Verdict(Outcome.PASS, detail=self.detail, weight=self.weight)
        return Observation(self.probe.id, verdict, self.reached, self.took, tuple(self.healths.items()))

    def remember(self, attempt: Attempt, verdict: Verdict | None, now: float, took: float) -> None:
        """Remember how an attempt ended. verdict: None for a pass that was told as `detail`."""
        said = verdict or Verdict(Outcome.PASS, detail=self.detail, weight=self.weight)
        self.past = remembering(self.past, answer_of(attempt, said, now, took))
        if said.outcome is Outcome.PASS:
            self.remember_at = now + PASS_EVERY

    @property
    def in_doubt(self) -> bool:
        """True while any watch is."""
        return any(health.in_doubt for health in self.healths.values())

    def next_after(self, now: int, started: int) -> int:
        """When to ask next, in milliseconds: on the grid, or sooner while in doubt or hurried."""
        if self.again:
            return now
        rhythm = self.rhythm
        regular = rhythm.next(now)
        if self.steady or rhythm.fast >= rhythm.interval or not self.in_doubt:
            return regular
        sooner = -(-(started + rhythm.fast) // 10) * 10  # whole ticks, so that wake-ups are shared
        return min(regular, max(now, sooner))

    def _settle(self) -> None:
        healths = list(self.healths.values())
        self.weight = healths[0].weight if healths else None
        self.steady = not self.probe.told and all(
            h.phase is Phase.UP and not h.streak and h.weight == self.weight for h in healths
        )


def pass_of(result: Result) -> tuple[str, int | None] | None:
    """Detail and weight of a pass, None for any other verdict."""
    if type(result) is str:
        return result, None
    if type(result) is Passed:
        return result.detail, result.weight
    return None
