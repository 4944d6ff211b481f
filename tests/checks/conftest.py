"""Real servers for the tests of the checks, each started once for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checks import servers


@pytest.fixture(scope="session")
def nginx() -> Iterator[servers.Nginx]:
    with servers.nginx() as served:
        yield served


@pytest.fixture(scope="session")
def named() -> Iterator[servers.Named]:
    with servers.named() as served:
        yield served
