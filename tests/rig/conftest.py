"""Fixtures of the rig. Everything below tests/rig needs the kernel's IPVS and is marked so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.rig import ipvsadm
from tests.rig.daemon import Daemon
from tests.rig.namespace import Namespace
from tests.rig.servers import Bind, Nginx
from tests.rig.topology import Server, Topology, VirtualAddresses, topology
from tests.rig.writes import Writes, counted

HERE = Path(__file__).parent
NUMBERS = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this directory; outside the rig they say where they run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            if "HEALTHD_RIG" not in os.environ:
                item.add_marker(pytest.mark.skip(reason="runs in the rig: tests/rig/run"))


@pytest.fixture(scope="session")
def network() -> Iterator[Topology]:
    """The whole network, built once."""
    with topology() as built:
        yield built


@pytest.fixture
def director(network: Topology) -> Iterator[Namespace]:
    """The director; its table is empty before and after each test."""
    ipvsadm.clear(network.director)
    yield network.director
    ipvsadm.clear(network.director)


@pytest.fixture
def client(network: Topology) -> Namespace:
    """The client."""
    return network.client


@pytest.fixture
def servers(network: Topology) -> tuple[Server, ...]:
    """The three real servers."""
    return network.servers


@pytest.fixture
def virtual(network: Topology) -> VirtualAddresses:
    """Virtual addresses that no other test uses."""
    return network.virtual


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A fresh network namespace with nothing but its loopback, for tests that only look at the table."""
    made = Namespace.create(f"table{next(NUMBERS)}")
    yield made
    made.delete()


@pytest.fixture(scope="session")
def web_servers(network: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nginx, ...]]:
    """An nginx on each real server, not yet started."""
    made = tuple(Nginx(server.namespace, tmp_path_factory.mktemp(server.name) / "nginx") for server in network.servers)
    yield made
    for nginx in made:
        nginx.stop()


@pytest.fixture
def web(web_servers: tuple[Nginx, ...]) -> tuple[Nginx, ...]:
    """An nginx on each real server, up and well, whatever the last test did to it."""
    for nginx in web_servers:
        nginx.ensure_well()
    return web_servers


@pytest.fixture(scope="session")
def name_servers(network: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bind, ...]]:
    """A BIND on each real server, started."""
    made = tuple(Bind(server, tmp_path_factory.mktemp(server.name) / "bind") for server in network.servers)
    for bind in made:
        bind.start()
    yield made
    for bind in made:
        bind.stop()


@pytest.fixture
def marking(network: Topology) -> Iterator[Callable[[str], None]]:
    """Adds nft rules to the director that mark packets as they come in."""
    director = network.director

    def mark(rule: str) -> None:
        director.run("nft", f"add rule inet rig marks {rule}")

    director.run("nft", "add table inet rig; add chain inet rig marks { type filter hook prerouting priority mangle; }")
    yield mark
    director.run("nft", "delete", "table", "inet", "rig")


@pytest.fixture(scope="session")
def sorry_server(network: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """An nginx on the director itself, for fallbacks: it says "director"."""
    nginx = Nginx(network.director, tmp_path_factory.mktemp("director") / "nginx")
    nginx.start()
    yield nginx
    nginx.stop()


@pytest.fixture
def daemon(director: Namespace, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of this test's own, not yet started. It ends, in order, before the table is emptied."""
    made = Daemon(director, tmp_path / "healthd")
    yield made
    made.stop()


@pytest.fixture
def writes() -> Iterator[Writes]:
    """Counts writes to the kernel's tables."""
    with counted() as found:
        yield found
