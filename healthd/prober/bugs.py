"""Mistakes in our own program: a check that raises what it must not says nothing about the server it asked."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from healthd.check import Outcome, Reason, Verdict


class Bugs:
    """Turns unexpected exceptions into verdicts, and tells each place where one was raised once.

    tell: called with a text that has the traceback.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[tuple[str, type, int]] = set()

    def verdict(self, error: BaseException, check: Any) -> Verdict:
        """INCONCLUSIVE, with the name of the exception as detail."""
        place = (type(check).__name__, type(error), _line_of(error))
        if place not in self._told:
            self._told.add(place)
            text = "".join(traceback.format_exception(error))
            self._tell(f"a mistake in the check {getattr(check, 'kind', place[0])}:\n{text}")
        return Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, f"a mistake in healthd: {type(error).__name__}: {error}")


def _line_of(error: BaseException) -> int:
    """Line where it was raised, 0 if it never was."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return 0 if place is None else place.tb_lineno
