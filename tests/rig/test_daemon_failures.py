"""What a failing server does to the clients of a virtual address, with the real daemon between them.

One daemon keeps four services over the same three servers: one quiesces and has a fallback, one removes, one has
nobody to fall back to, one is persistent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.rig import ipvsadm
from tests.rig.daemon import HTTP, Daemon, real, service
from tests.rig.namespace import Namespace
from tests.rig.patience import until
from tests.rig.servers import Nginx
from tests.rig.topology import Topology
from tests.rig.traffic import Address, Download, shares, who

ALL = {"server1", "server2", "server3"}


@dataclass(frozen=True, slots=True)
class Services:
    """The daemon and the virtual addresses it keeps."""

    daemon: Daemon
    director: Namespace
    quiesce: Address
    remove: Address
    alone: Address
    sticky: Address

    def weights(self, address: Address) -> dict[str, int]:
        """Weights in the kernel by the last digit of the server's address; 0 is the fallback."""
        found = ipvsadm.weights(self.director, f"TCP {address}:80")
        return {dest.removeprefix("10.2.0.1").partition(":")[0]: weight for dest, weight in found.items()}

    def wait(self, address: Address, **weights: int) -> None:
        """Wait for weights, given as s1=1, s2=0, and so on; what is not given must not be there."""
        wanted = {name[1:]: weight for name, weight in weights.items()}
        until(f"{address} has {wanted}", lambda: self.weights(address) == wanted, within=20)

    def reasons(self, address: Address) -> dict[str, str]:
        """Last reason of each server's check, by the last digit of its address."""
        services = self.daemon.status()["services"]
        (found,) = (one for one in services if one["virtual"] == f"{address}:80/tcp")
        return {one["address"][-4]: one["checks"][0]["last"]["reason"] for one in found["reals"]}


@pytest.fixture(scope="module")
def services(
    network: Topology, web_servers: tuple[Nginx, ...], sorry_server: Nginx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """The four services, kept by one daemon."""
    for nginx in web_servers:
        nginx.ensure_well()
    ipvsadm.clear(network.director)
    network.director.sysctl("net.ipv4.vs.expire_quiescent_template=1")
    daemon = Daemon(network.director, tmp_path_factory.mktemp("failures") / "healthd")
    virtual = network.virtual
    made = Services(daemon, network.director, virtual.masq(), virtual.masq(), virtual.masq(), virtual.masq())
    keys = {
        "quiesce": (made.quiesce, 'scheduler = "rr"\nfallback = "127.0.0.1:80"'),
        "remove": (made.remove, 'scheduler = "rr"\non_failure = "remove"\nfallback = "127.0.0.1:80"'),
        "alone": (made.alone, 'scheduler = "rr"'),
        "sticky": (made.sticky, 'scheduler = "rr"\npersistent = "5m"'),
    }
    for name, (address, more) in keys.items():
        reals = [real(server.address) for server in network.servers]
        daemon.write(name, service(name, f'virtual = "{address}:80"\nforward = "masq"\n{more}', HTTP, reals))
    daemon.start()
    yield made
    daemon.stop()
    ipvsadm.clear(network.director)


@pytest.fixture(autouse=True)
def _all_well(services: Services, web: tuple[Nginx, ...], network: Topology) -> Iterator[None]:
    """Every test begins with all servers in all services."""
    for address in (services.quiesce, services.remove, services.alone, services.sticky):
        services.wait(address, s1=1, s2=1, s3=1)
    yield
    for server in network.servers:
        server.plug()


def test_quiescing_keeps_a_download_going_while_new_connections_avoid_the_server(services, client, web):
    download = Download(client, services.quiesce)
    try:
        (busy,) = (digit for digit in "123" if active(services, digit))
        web[int(busy) - 1].be_ill()
        services.wait(services.quiesce, **{f"s{digit}": int(digit != busy) for digit in "123"})
        assert shares(6, lambda: who(client, services.quiesce)).keys() == ALL - {f"server{busy}"}
        download.goes_on()
        download.goes_on()
        assert download.error is None
        web[int(busy) - 1].be_well()
        services.wait(services.quiesce, s1=1, s2=1, s3=1)
        download.goes_on()
    finally:
        download.close()


def active(services: Services, digit: str) -> int:
    """Established connections of a server in the service that quiesces."""
    rows = ipvsadm.rows(services.director)[f"TCP {services.quiesce}:80"]
    return rows[f"10.2.0.1{digit}:80"].active


def test_removing_takes_the_row_away_and_puts_it_back(services, client, web):
    web[2].crash()
    services.wait(services.remove, s1=1, s2=1)
    assert shares(6, lambda: who(client, services.remove)) == {"server1": 3, "server2": 3}
    web[2].start()
    services.wait(services.remove, s1=1, s2=1, s3=1)
    assert shares(6, lambda: who(client, services.remove)) == dict.fromkeys(ALL, 2)


def fallback_rows(services: Services, address: Address) -> dict[str, int]:
    found = ipvsadm.weights(services.director, f"TCP {address}:80")
    return {dest: weight for dest, weight in found.items() if dest.startswith("127.")}


@pytest.mark.parametrize("name", ["quiesce", "remove"])
def test_the_fallback_steps_in_when_all_are_down_and_out_when_one_is_back(name, services, client, web):
    address = getattr(services, name)
    for nginx in web:
        nginx.crash()
    until("the fallback is in", lambda: fallback_rows(services, address) == {"127.0.0.1:80": 1}, within=20)
    until("clients get the fallback", lambda: who(client, address) == "director")
    web[1].start()
    down = {"s1": 0, "s3": 0} if name == "quiesce" else {}
    services.wait(address, s2=1, **down)
    assert shares(4, lambda: who(client, address)) == {"server2": 4}
    web[0].start()
    web[2].start()
    services.wait(address, s1=1, s2=1, s3=1)


def test_all_servers_down_refuses_clients_and_all_servers_up_serves_them(services, client, web):
    for nginx in web:
        nginx.crash()
    services.wait(services.alone, s1=0, s2=0, s3=0)
    assert who(client, services.alone) == "refused"
    for nginx in web:
        nginx.start()
    services.wait(services.alone, s1=1, s2=1, s3=1)
    assert shares(6, lambda: who(client, services.alone)) == dict.fromkeys(ALL, 2)


def test_a_dead_process_is_told_from_a_dead_host(services, client, web, servers):
    web[0].crash()
    servers[1].unplug()
    services.wait(services.alone, s1=0, s2=0, s3=1)
    reasons = services.reasons(services.alone)
    assert reasons["1"] == "refused"
    assert reasons["2"] in ("timeout", "unreachable")
    assert reasons["3"] == "ok"
    assert shares(3, lambda: who(client, services.alone)) == {"server3": 3}
    web[0].start()
    servers[1].plug()
    services.wait(services.alone, s1=1, s2=1, s3=1)


def test_a_server_that_accepts_and_never_answers_is_taken_out(services, client, web):
    web[2].freeze()
    services.wait(services.alone, s1=1, s2=1, s3=0)
    assert services.reasons(services.alone)["3"] == "timeout"
    assert shares(4, lambda: who(client, services.alone)) == {"server1": 2, "server2": 2}
    web[2].thaw()
    services.wait(services.alone, s1=1, s2=1, s3=1)


def test_a_client_stays_with_its_server_until_that_one_fails(services, client, web, network):
    first = shares(4, lambda: who(client, services.sticky))
    assert len(first) == 1
    (name,) = first
    digit = name[-1]
    web[int(digit) - 1].crash()
    services.wait(services.sticky, **{f"s{other}": int(other != digit) for other in "123"})
    second = shares(4, lambda: who(client, services.sticky))
    assert len(second) == 1
    assert second.keys() <= ALL - {name}
    web[int(digit) - 1].start()
    services.wait(services.sticky, s1=1, s2=1, s3=1)
    assert shares(2, lambda: who(client, services.sticky)) == {next(iter(second)): 2}
