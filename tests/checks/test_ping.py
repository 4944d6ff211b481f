"""The ping check by transcripts: all of its requests must come back as they went out."""

from __future__ import annotations

import pytest

from checks.ping import PingCheck
from healthd.check import CheckFailed, Echo, Reason, Target
from tests.checks.harness import V4, V6, Channel, Player, failed, passed


class Mirror(Player):
    """Answers every echo with what `edit` makes of it."""

    def __init__(self, edit=bytes) -> None:
        super().__init__([])
        self.edit = edit

    def answer(self, step):
        """What comes back."""
        assert isinstance(step, Echo)
        return self.edit(step.payload)


@pytest.mark.parametrize("target", [V4, V6])
@pytest.mark.parametrize("size", [0, 1, 56, 65507])
def test_the_payload_has_the_size_asked_for_and_comes_back(target: Target, size: int):
    mirror = Mirror()
    assert passed(mirror.play(PingCheck(size=size), target))
    assert [len(step.payload) for step in mirror.steps] == [size]  # type: ignore[union-attr]


def test_all_of_several_requests_must_come_back():
    mirror = Mirror()
    assert mirror.play(PingCheck(count=3)).detail == "3 answered"
    assert len(mirror.steps) == 3
    unreachable = CheckFailed(Reason.UNREACHABLE, "host unreachable")
    some = [Channel([], b"healthd "), Channel([], b"healthd "), Channel([], unreachable)]
    assert failed(Player(some).play(PingCheck(size=8, count=3)), Reason.UNREACHABLE)


@pytest.mark.parametrize("edit", [lambda p: b"", lambda p: p[:-1], lambda p: p + b"x", lambda p: p[:-1] + b"\xff"])
def test_a_payload_that_comes_back_changed_fails(edit):
    assert failed(Mirror(edit).play(PingCheck()), Reason.PROTOCOL)
