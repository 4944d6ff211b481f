"""A network of its own for what needs certain ports or settings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.rig.namespace import Namespace


@pytest.fixture
def network() -> Iterator[Namespace]:
    """A network with nothing but loopback, where every port is free."""
    if os.getuid() or not shutil.which("ip"):
        pytest.skip("needs root and the package iproute2")
    made = Namespace.create(f"healthd-beside-{os.getpid()}")
    yield made
    made.delete()
