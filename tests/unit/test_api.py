"""The control socket on a real path: whose it is from its first moment, what it leaves alone, what it answers."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from healthd.api import ControlSocket, ControlSocketUnusable, door, paths
from healthd.api.peers import Peer, Readers
from healthd.control import ControlError, ask

BOUND = 20.0


class Answers:
    """What the socket asks; a test says what of it is otherwise."""

    def __init__(self, **others) -> None:
        for name, answer in others.items():
            setattr(self, name, answer)

    async def status(self, counters: bool) -> dict[str, object]:
        """What was asked for, and letters that must not reach a terminal."""
        return {"counters": counters, "text": "caf\u00e9 \x1b[31m"}

    async def reload(self, *, dry: bool) -> dict[str, object]:
        """Fail in a way that nobody thought of."""
        raise RuntimeError("a bug in a reload")


@asynccontextmanager
async def serving(path: Path, group: str | None = None, **actions) -> AsyncIterator[ControlSocket]:
    control = ControlSocket(path, group, Answers(**actions))
    try:
        await control.start()
        yield control
    finally:
        await control.close()


async def asked(path: Path, method: str = "GET", what: str = "/v1/status") -> dict[str, object]:
    return await asyncio.to_thread(ask, path, method, what, BOUND)


async def raw(path: Path, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to these bytes."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    async with asyncio.timeout(BOUND):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


async def test_it_answers_in_ascii_and_with_what_was_asked_for(tmp_path):
    async with serving(tmp_path / "s"):
        assert (await asked(tmp_path / "s", what="/v1/status?counters"))["counters"] is True
        code, headers, body = await raw(tmp_path / "s", b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert code == 200
    assert headers["connection"] == "close"
    assert body.isascii()
    assert b"\x1b" not in body


async def test_only_its_user_may_open_it_and_the_umask_does_not_matter(tmp_path):
    before = os.umask(0)
    try:
        async with serving(tmp_path / "new" / "s"):
            assert stat.S_IMODE((tmp_path / "new" / "s").stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o755
    finally:
        os.umask(before)
    assert not (tmp_path / "new" / "s").exists()


async def test_nobody_gets_in_between_bind_and_chmod(tmp_path):
    """A thread looks at the file all the time while sockets are made: it never sees a mode that lets others in."""
    seen, over = set(), threading.Event()

    def look() -> None:
        while not over.is_set():
            for found in tmp_path.iterdir():
                try:
                    seen.add(stat.S_IMODE(found.lstat().st_mode))
                except FileNotFoundError:
                    continue

    before = os.umask(0)
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(200):
            paths.bound(tmp_path / "s", None, 1).close()
    finally:
        over.set()
        watcher.join()
        os.umask(before)
    assert seen <= {0o600}


async def test_a_group_is_let_in(tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    async with serving(tmp_path / "s", group):
        found = (tmp_path / "s").stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == os.getgid()


async def refused(path: Path, group: str | None = None) -> str:
    with pytest.raises(ControlSocketUnusable) as caught:
        async with serving(path, group):
            pass
    return str(caught.value)


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "s").write_text("precious")
    assert "no socket" in await refused(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


async def test_a_link_is_left_alone(tmp_path):
    (tmp_path / "s").symlink_to(tmp_path / "elsewhere")
    assert "no socket" in await refused(tmp_path / "s")
    assert (tmp_path / "s").is_symlink()


async def test_a_path_that_is_too_long_says_so(tmp_path):
    assert "more than 107 bytes" in await refused(tmp_path / ("s" * 108))


async def test_a_group_that_does_not_exist_says_so(tmp_path):
    assert "no-such-group" in await refused(tmp_path / "s", "no-such-group")
    assert not (tmp_path / "s").exists()


async def test_a_directory_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file" / "s") in await refused(tmp_path / "file" / "s")


async def test_a_socket_that_nobody_answers_on_is_taken_over(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    async with serving(tmp_path / "s"):
        assert await asked(tmp_path / "s")


async def test_a_socket_that_somebody_answers_on_is_not(tmp_path):
    async with serving(tmp_path / "s"):
        assert "another process answers" in await refused(tmp_path / "s")
        assert await asked(tmp_path / "s")


async def test_a_socket_with_a_full_backlog_is_somebodys_too(tmp_path):
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(tmp_path / "s"))
        busy.listen(0)
        waiting.setblocking(False)
        waiting.connect_ex(str(tmp_path / "s"))
        assert "another process answers" in await refused(tmp_path / "s")


async def test_it_does_not_remove_a_socket_that_is_another_daemons_by_now(tmp_path):
    async with serving(tmp_path / "s"):
        (tmp_path / "s").unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(tmp_path / "s"))
    assert (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("request_line", "code"),
    [("GET /v1/nothing", 404), ("DELETE /v1/status", 405), ("GET /v1/reload", 405), ("POST /v1/reload", 500)],
)
async def test_what_cannot_be_answered_is_told_in_json(tmp_path, request_line, code):
    async with serving(tmp_path / "s"):
        found, _, body = await raw(tmp_path / "s", f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert found == code
    assert json.loads(body)["error"]


async def test_head_has_no_body(tmp_path):
    async with serving(tmp_path / "s"):
        code, _, body = await raw(tmp_path / "s", b"HEAD /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (code, body) == (200, b"")


@pytest.mark.parametrize(
    "junk", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/status HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"]
)
async def test_junk_is_refused_and_others_are_still_answered(tmp_path, junk):
    async with serving(tmp_path / "s"):
        code, _, _ = await raw(tmp_path / "s", junk)
        assert code == 400
        assert await asked(tmp_path / "s")


async def test_numbers_that_json_has_no_word_for_are_never_sent(tmp_path):
    async def broken(counters: bool) -> dict[str, object]:
        return {"lateness": float("nan")}

    async with serving(tmp_path / "s", status=broken):
        with pytest.raises(ControlError, match="its log says why"):
            await asked(tmp_path / "s")


async def test_clients_beyond_the_limit_are_hung_up_on(tmp_path):
    """Those that are there keep their place; when one leaves, the next is served."""
    async with serving(tmp_path / "s"):
        slow = [await asyncio.open_unix_connection(str(tmp_path / "s")) for _ in range(door.MOST_CLIENTS)]
        for _, writer in slow:
            writer.write(b"GET /v1/sta")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        async with asyncio.timeout(BOUND):
            assert await reader.read() == b""
        writer.close()
        slow[0][1].close()
        async with asyncio.timeout(BOUND):
            while True:
                try:
                    assert await asked(tmp_path / "s")
                    break
                except ControlError:
                    await asyncio.sleep(0.05)
        for _, writer in slow:
            writer.close()


async def test_large_answers_are_made_one_after_the_other_and_small_ones_beside_them(tmp_path):
    under_way, most, goes_on = 0, 0, asyncio.Event()

    async def large(counters: bool) -> dict[str, object]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await goes_on.wait()
        under_way -= 1
        return {}

    async def small() -> dict[str, object]:
        return {"overrides": []}

    async with serving(tmp_path / "s", status=large, overrides=small):
        waiting = [asyncio.create_task(asked(tmp_path / "s")) for _ in range(5)]
        assert await asked(tmp_path / "s", what="/v1/overrides") == {"overrides": []}
        goes_on.set()
        await asyncio.gather(*waiting)
    assert most == 1


async def test_the_end_does_not_wait_for_slow_clients(tmp_path):
    begun = asyncio.Event()

    async def slow(counters: bool) -> dict[str, object]:
        begun.set()
        await asyncio.sleep(3600)
        return {}

    async with asyncio.timeout(BOUND):
        async with serving(tmp_path / "s", status=slow):
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
            await begun.wait()
    writer.close()


def test_the_kernel_says_who_asks_even_if_they_are_gone():
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    theirs.close()
    with ours:
        peer = Peer.of(ours)
    assert peer.uid == os.getuid()
    assert peer.groups == {os.getgid(), *os.getgroups()}


@pytest.mark.parametrize(
    ("peer", "reads", "writes"),
    [
        (Peer(0, frozenset()), True, True),
        (Peer(os.getuid(), frozenset()), True, True),
        (Peer(4711, frozenset({42})), True, False),
        (Peer(4711, frozenset({43})), False, False),
    ],
)
def test_root_and_ourselves_may_do_all_and_the_group_may_read(peer, reads, writes):
    readers = Readers(42)
    assert (readers.may_read(peer), readers.may_write(peer.uid)) == (reads, writes)
    assert Readers(None).may_read(peer) is writes
