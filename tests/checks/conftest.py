"""Real servers for the tests of the checks, each started once for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checks import servers
from tests.checks.servers_pgsql import Postgres
from tests.checks.servers_pgsql import postgres as started_postgres


@pytest.fixture(scope="session")
def nginx() -> Iterator[servers.Nginx]:
    with servers.nginx() as served:
        yield served


@pytest.fixture(scope="session")
def named() -> Iterator[servers.Named]:
    with servers.named() as served:
        yield served


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with started_postgres() as served:
        yield served
