"""Maintenance files: which names stand for which servers, and that a file that comes or goes is noticed."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from healthd.config.schema import Admin
from healthd.hostnames import KEPT, HostNames, name_of
from healthd.maintenance import Maintenance, Named, named, names_in, wishes_of
from healthd.policy import Wish
from tests.hooks.samples import until
from tests.support.builders import MAIL, A, B, real, service

BOUND = 30.0


@pytest.mark.parametrize(
    ("name", "host", "address", "port"),
    [
        ("10.0.0.11", "10.0.0.11", "10.0.0.11", None),
        ("10.0.0.11:80", "10.0.0.11", "10.0.0.11", 80),
        ("[2001:db8::1]", "[2001:db8::1]", "2001:db8::1", None),
        ("[2001:DB8::1]:80", "[2001:db8::1]", "2001:db8::1", 80),
        ("2001:db8::1", "2001:db8::1", "2001:db8::1", None),
        ("Web1.example.net", "web1.example.net", None, None),
        ("web1:80", "web1", None, 80),
        ("web1:http", "web1:http", None, None),
        (".web1.swp", ".web1.swp", None, None),
        ("10.0.0.11:", "10.0.0.11:", None, None),
        (":80", "", None, 80),
    ],
)
def test_a_name_is_an_address_or_a_host_with_or_without_a_port(name, host, address, port):
    assert named(name) == Named(host, None if address is None else ip_address(address), port)


HOSTS = {A.address: "web1.example.net.", B.address: ""}


@pytest.mark.parametrize(
    ("files", "out"),
    [
        (["10.0.0.11"], {A}),
        (["10.0.0.11:80"], {A}),
        (["10.0.0.11:81"], set()),
        (["web1", "unknown"], {A}),
        (["WEB1.example.net:80"], {A}),
        (["web1:81", "example.net", ""], set()),
        (["10.0.0.11", "10.0.0.12:80"], {A, B}),
        ([":80"], set()),
    ],
)
def test_files_take_out_the_servers_they_name(tmp_path, files, out):
    www = replace(service(real(A), real(B)), maintenance=tmp_path)
    wishes = wishes_of([www], {tmp_path: files}, lambda address: HOSTS[address])
    assert {dest for _, dest in wishes} == out
    assert all(wish.admin is Admin.MAINTENANCE for wish in wishes.values())


def test_a_folder_counts_for_its_own_services_alone(tmp_path):
    here = replace(service(real(A)), maintenance=tmp_path / "here")
    there = replace(service(real(A), key=MAIL), maintenance=tmp_path / "there")
    none = replace(service(real(B)), maintenance=None)
    wishes = wishes_of([here, there, none], {tmp_path / "here": ["10.0.0.11"], tmp_path / "there": []}, lambda _: "")
    assert wishes == {(here.key, A): Wish(Admin.MAINTENANCE, f"file {tmp_path}/here/10.0.0.11")}


class Kept:
    """A `Maintenance` that runs, and all it told."""

    def __init__(self, lookup=lambda _: "", names=names_in, patience=BOUND):
        self.told = []
        self.kept = Maintenance(self.told.append, HostNames(time.monotonic, lookup), names, patience)

    async def begin(self, services):
        """Look after these."""
        await self.kept.apply(services)
        self.task = asyncio.create_task(self.kept.run())
        return self

    async def until(self, condition):
        """Wait until `condition()` is true."""
        async with asyncio.timeout(BOUND):
            while not condition():
                assert not self.task.done()
                await asyncio.sleep(0.005)

    async def close(self):
        """End it."""
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_a_file_that_comes_and_goes_is_noticed(tmp_path):
    www = replace(service(real(A), real(B)), maintenance=tmp_path)
    (tmp_path / "10.0.0.12").touch()
    kept = await Kept().begin([www])
    try:
        assert [set(told) for told in kept.told] == [{(www.key, B)}]
        (tmp_path / "10.0.0.11:80").touch()
        await kept.until(lambda: len(kept.told) == 2)
        assert set(kept.told[-1]) == {(www.key, A), (www.key, B)}
        (tmp_path / "10.0.0.12").unlink()
        await kept.until(lambda: len(kept.told) == 3)
        assert set(kept.told[-1]) == {(www.key, A)}
    finally:
        await kept.close()


async def test_a_folder_that_comes_later_or_is_replaced_counts_from_then_on(tmp_path):
    folder = tmp_path / "maintenance"
    www = replace(service(real(A)), maintenance=folder)
    kept = await Kept().begin([www])
    try:
        assert kept.told == []
        folder.mkdir()
        (folder / "10.0.0.11").touch()
        await kept.until(lambda: len(kept.told) == 1)
        folder.rename(tmp_path / "old")
        await kept.until(lambda: kept.told[-1] == {})
        (tmp_path / "old").rename(folder)
        await kept.until(lambda: len(kept.told) == 3)
    finally:
        await kept.close()


async def test_hosts_are_looked_up_beside_everything_else(tmp_path):
    """A name server that does not answer for one server delays no other, and no address."""
    www = replace(service(real(A), real(B)), maintenance=tmp_path)
    for name in ("web1", "10.0.0.12"):
        (tmp_path / name).touch()

    def lookup(address):
        if address == B.address:
            time.sleep(BOUND / 10)
        return "web1.example.net" if address == A.address else ""

    kept = await Kept(lookup).begin([www])
    try:
        assert [set(told) for told in kept.told] == [{(www.key, B)}]
        await kept.until(lambda: set(kept.told[-1]) == {(www.key, A), (www.key, B)})
    finally:
        await kept.close()


async def test_a_reload_changes_the_folders(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    www = replace(service(real(A)), maintenance=one)
    kept = await Kept().begin([www])
    try:
        await kept.kept.apply([replace(www, maintenance=two)])
        (one / "10.0.0.11").touch()
        (two / "10.0.0.11:80").touch()
        await kept.until(lambda: kept.told)
        assert [wish.why for wish in kept.told[-1].values()] == [f"file {two}/10.0.0.11:80"]
    finally:
        await kept.close()


async def test_a_folder_that_hangs_holds_nobody_and_one_that_fails_changes_nothing(tmp_path):
    """A network file system that is away: who was in maintenance stays so, and all others are looked after."""
    away, here = tmp_path / "away", tmp_path / "here"
    gate, broken = threading.Event(), threading.Event()
    gate.set()

    def names(folder):
        if folder == away:
            assert gate.wait(BOUND)
            if broken.is_set():
                raise OSError(errno.EIO, "Input/output error")
        return names_in(folder)

    for folder in (away, here):
        folder.mkdir()
    (away / "10.0.0.11").touch()
    services = [replace(service(real(A)), maintenance=away), replace(service(real(B), key=MAIL), maintenance=here)]
    kept = await Kept(names=names, patience=0.1).begin(services)
    try:
        await kept.until(lambda: kept.told)
        assert set(kept.told[-1]) == {(services[0].key, A)}
        gate.clear()
        await kept.kept.apply(services)
        (away / "10.0.0.11").unlink()
        (here / "10.0.0.12").touch()
        await kept.until(lambda: len(kept.told) == 2)
        assert set(kept.told[-1]) == {(services[0].key, A), (MAIL, B)}
        broken.set()
        gate.set()
        (here / "10.0.0.12").unlink()
        await kept.until(lambda: len(kept.told) == 3)
        assert set(kept.told[-1]) == {(services[0].key, A)}
        broken.clear()
        await kept.until(lambda: kept.told[-1] == {})
    finally:
        gate.set()
        await kept.close()


async def test_a_resolver_that_is_away_ends_no_maintenance():
    """That a name is not to be had now is no answer."""
    now, answers = 0.0, ["web1.example.net", OSError("away"), ""]

    def lookup(address):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    hosts = HostNames(lambda: now, lookup)
    for name in ("web1.example.net", "web1.example.net", ""):
        hosts.want([A.address])
        left = len(answers)
        await until(lambda left=left: len(answers) < left and not hosts._asked, BOUND)
        assert hosts.of(A.address) == name
        now += KEPT


@pytest.mark.parametrize(("number", "raised"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_only_an_answer_says_that_there_is_no_name(number, raised):
    def ask(address, flags):
        raise socket.gaierror(number, "so it is")

    if raised:
        with pytest.raises(OSError, match="so it is"):
            name_of(A.address, ask)
    else:
        assert name_of(A.address, ask) == ""
