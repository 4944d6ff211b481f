"""Gathering as a whole: what is wrong with one thing keeps nobody from looking at the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from healthd.config.load import load
from healthd.doctor.facts import Facts, Way
from healthd.doctor.gather import gather
from healthd.doctor.judgement import judge

SERVICE = """
[[service]]
name = "www"
virtual = "127.0.0.9:80"
forward = "masq"
[service.check]
type = "tcp"
[[service.real]]
address = "127.0.0.1:80"
"""


class Stranger(BaseHTTPRequestHandler):
    """Answers every question with JSON that is no status of ours."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"version": 99}')

    def address_string(self) -> str:
        """A unix socket has no address; it would be looked up for the log."""
        return "client"

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Path]:
    """A control socket on which something of another version answers."""
    path = tmp_path / "stranger.sock"
    with UnixStreamServer(str(path), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield path
        server.shutdown()
        thread.join()


async def seen(folder: Path, text: str, socket: str = "none.sock") -> Facts:
    """The facts with a configuration of this text; everything of the daemon's is below the folder."""
    path = folder / "healthd.toml"
    path.write_text(text)
    return await gather(load(path), folder / socket, folder, folder)


async def test_addresses_of_services_and_servers_were_asked_for(tmp_path):
    facts = await seen(tmp_path, SERVICE)
    ways = {address: route.way for address, route in facts.network.routes.items()}
    assert ways == {ip_address("127.0.0.9"): Way.LOCAL, ip_address("127.0.0.1"): Way.LOCAL}
    assert facts.daemon.document is None
    assert facts.daemon.holders == frozenset()


async def test_a_namespace_that_is_not_there_is_one_finding_and_the_rest_is_looked_at(tmp_path):
    facts = await seen(tmp_path, f'[table]\nnetns = "no-such-namespace"\n{SERVICE}')
    assert "no-such-namespace" in facts.namespace_error
    topics = {finding.id.partition(".")[0] for finding in judge(facts)}
    assert {"kernel", "config", "daemon"} <= topics
    assert not {"network", "sysctl"} & topics


async def test_folders_that_are_written_to_are_looked_at_each_once(tmp_path):
    log = f'[log]\nto = "{tmp_path}/log"\n'
    facts = await seen(tmp_path, log + SERVICE.replace("forward", f'monitor_file = "{tmp_path}/probes"\nforward'))
    (room,) = facts.rooms
    found = os.statvfs(tmp_path)
    assert (room.what, room.path) == ("the log", str(tmp_path))
    assert 0 <= room.free <= found.f_blocks * found.f_frsize


async def test_who_answers_and_is_of_another_version_is_not_taken_for_a_daemon(tmp_path, stranger):
    facts = await seen(tmp_path, SERVICE, stranger.name)
    assert facts.daemon.document is None
    assert "another version" in facts.daemon.why


async def test_a_configuration_that_cannot_be_read_leaves_an_empty_one(tmp_path):
    facts = await seen(tmp_path, "[[service")
    assert facts.config.services == ()
    assert facts.problems
    assert facts.kernel.release == os.uname().release
