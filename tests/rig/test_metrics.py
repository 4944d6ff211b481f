"""A scrape tells what the kernel counted: real connections through a real table."""

from __future__ import annotations

from tests.metrics.scraping import scrape
from tests.rig.daemon import Daemon
from tests.rig.patience import until
from tests.rig.test_daemon_life import ALL_ONCE, lines, wait_for_table, web_service
from tests.rig.traffic import shares, who


def test_the_connections_and_bytes_of_each_server_are_the_kernel_s(
    daemon: Daemon, director, client, servers, virtual, web
):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    wait_for_table(director, lines(address, servers))
    assert shares(3, lambda: who(client, address)) == ALL_ONCE
    real = [{"service": "www", "real": f"{server.address}:80"} for server in servers]

    def counted() -> bool:
        seen = scrape(daemon.socket)
        return [seen.value("ipvs_connections_total", **one) for one in real] == [1, 1, 1]

    until("each connection is counted", counted, within=20, every=1.1)
    seen = scrape(daemon.socket)
    assert all(seen.value(f"ipvs_{way}_bytes_total", **one) > 0 for one in real for way in ("incoming", "outgoing"))
    assert [seen.value("server_weight", **one) for one in real] == [1, 1, 1]
    assert seen.value("table_up") == 1
