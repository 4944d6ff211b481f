"""Work that takes long, done in slices, so that whoever shares the loop is not kept waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

SLICE = 0.001
"""Seconds of work after which it is others' turn."""


async def in_slices(steps: Iterable[None]) -> None:
    """Take the steps one after the other, with the loop's other work in between."""
    until = time.perf_counter() + SLICE
    for _ in steps:
        if time.perf_counter() > until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE
