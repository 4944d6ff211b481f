"""Webhooks to a real Alertmanager: what it says is firing, and that it believes us when it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from healthd.config.schema import Template
from healthd.events import Kind
from tests.checks.servers import free_ports, program, running

from .messages import down, kept, kill, up
from .samples import sample, until

pytestmark = pytest.mark.real

CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class Alertmanager:
    """A running one. url: of its API."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v2/alerts"

    def alerts(self) -> dict[str, dict]:
        """What it believes is firing, by server; what is over it does not list."""
        with urlopen(self.url, timeout=20) as answer:
            return {alert["labels"].get("real", ""): alert for alert in json.load(answer)}

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.alerts() == {}
        except URLError:
            return False


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(CONFIG)
    (port,) = free_ports(1)
    found = Alertmanager(port)
    command = [
        program("prometheus-alertmanager", "prometheus-alertmanager"),
        f"--config.file={folder / 'config.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(command, folder / "log", found.ready):
        yield found


async def test_a_server_that_is_down_fires_and_is_resolved_when_it_is_up(make, alertmanager):
    messenger = make(alertmanager.url, template=Template.ALERTMANAGER)
    began = time.time()
    messenger.event(down(1))
    messenger.event(down(2))
    await until(lambda: alertmanager.alerts().keys() == {"10.0.0.1:80", "10.0.0.2:80"})
    alert = alertmanager.alerts()["10.0.0.1:80"]
    assert alert["status"]["state"] == "active"
    assert {name: alert["labels"][name] for name in ("alertname", "severity", "service", "virtual", "real")} == {
        "alertname": "HealthdServerDown",
        "severity": "warning",
        "service": "www",
        "virtual": "192.0.2.80:80/tcp",
        "real": "10.0.0.1:80",
    }
    assert alert["annotations"]["reason"] == "timeout"
    assert alert["startsAt"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began - 1))
    messenger.event(up(1))
    await until(lambda: alertmanager.alerts().keys() == {"10.0.0.2:80"})
    messenger.event(up(2))
    await until(lambda: alertmanager.alerts() == {})
    assert (messenger.stats().delivered, messenger.stats().failed, messenger.stats().last_error) == (4, 0, "")


async def test_it_takes_every_problem_and_its_end(make, alertmanager):
    messenger = make(alertmanager.url, template=Template.ALERTMANAGER)
    for kind in (Kind.SERVICE_DOWN, Kind.SERVER_UNSURE, Kind.FALLBACK_ON, Kind.TABLE_LOST, Kind.RELOAD_FAILED):
        messenger.event(sample(kind, at=time.time()))
    await until(lambda: messenger.stats().delivered == 5)
    await until(lambda: len(alertmanager.alerts()) >= 3)
    for kind in (Kind.SERVICE_UP, Kind.SERVER_SURE, Kind.FALLBACK_OFF, Kind.TABLE_BACK, Kind.RELOADED):
        messenger.event(sample(kind, at=time.time()))
    await until(lambda: alertmanager.alerts() == {})
    for kind in (Kind.ROW_REFUSED, Kind.DRIFT, Kind.PROBER_LOST):
        messenger.event(sample(kind, at=time.time() - 298))
    await until(lambda: messenger.stats().delivered == 13)
    assert messenger.stats().last_error == ""
    await until(lambda: alertmanager.alerts() == {})  # of these nobody tells the end


async def test_a_service_that_goes_takes_its_problems_with_it(make, alertmanager):
    messenger = make(alertmanager.url, template=Template.ALERTMANAGER)
    messenger.event(down(1))
    messenger.event(sample(Kind.SERVICE_DOWN, at=time.time()))
    await until(lambda: len(alertmanager.alerts()) == 2)
    messenger.event(sample(Kind.SERVICE_REMOVED, at=time.time()))
    await until(lambda: alertmanager.alerts() == {})


async def test_the_next_healthd_ends_what_the_last_one_began(make, alertmanager, store):
    first = make(alertmanager.url, store, template=Template.ALERTMANAGER)
    first.event(down(1))
    await until(lambda: alertmanager.alerts())
    await kept(store, 1)
    await kill(first)
    second = make(alertmanager.url, store, template=Template.ALERTMANAGER)
    second.event(replace(up(1), previous="unknown"))
    await until(lambda: alertmanager.alerts() == {})
    await kept(store, 0)
