"""Notifications arrive at a real datagram socket as systemd reads them, and nothing that goes wrong is fatal."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthd import sdnotify
from healthd.sdnotify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What to put into $NOTIFY_SOCKET, and the socket that listens there."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@healthd-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name if name.startswith("/") else "\0" + name[1:])
        listening.settimeout(10)
        yield name, listening


def test_what_is_sent_is_what_systemd_reads(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    notifier = Notifier(name, clock=lambda: 12.5)
    notifier.ready("3 services, 9 servers")
    notifier.status("8 of 9 servers\nare up")
    notifier.reloading()
    notifier.alive()
    notifier.stopping("leaving the table as it is")
    notifier.close()
    got = [listening.recv(4096).decode() for _ in range(5)]
    assert got == [
        "READY=1\nSTATUS=3 services, 9 servers",
        "STATUS=8 of 9 servers are up",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=leaving the table as it is",
    ]


def test_a_full_or_vanished_manager_neither_blocks_nor_fails(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    notifier = Notifier(name)
    for number in range(2000):
        notifier.status(f"{number} " + "x" * 1000)
    assert listening.recv(4096).startswith(b"STATUS=0 ")
    listening.close()
    notifier.ready()
    notifier.close()


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative", "/no/such/folder/notify", "/" + "x" * 300])
def test_nobody_who_listens_is_no_error(address: str | None) -> None:
    notifier = Notifier(address)
    notifier.ready()
    notifier.close()
    notifier.close()


def test_the_environment_says_where(manager: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    name, listening = manager
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    notifier = Notifier.of_environment()
    notifier.ready()
    notifier.close()
    assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(environ: dict[str, str], interval: float | None) -> None:
    assert sdnotify.watchdog_interval(environ, os.getpid()) == interval


def test_more_time_is_asked_for_in_microseconds() -> None:
    assert sdnotify.extend_timeout(1.5) == "EXTEND_TIMEOUT_USEC=1500000"
