"""The netlink channel and the namespaces, on real sockets of this kernel.

Every kernel has the generic netlink family "nlctrl", which lists the families: enough to see requests, refusals,
lists, lost answers and namespaces without IPVS. Tests that need root say so.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from healthd.ipvs import netlink
from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.kernel import KernelTable
from healthd.ipvs.module import load_module
from healthd.ipvs.namespace import NamespaceMissing, in_namespace, namespace_identity, namespace_path
from healthd.ipvs.netlink import WINDOW, AnswersLost, Channel, DumpRefused, FamilyMissing, NoAnswer, open_channel
from healthd.ipvs.wire import Malformed, attribute, attributes, headers, kinds, message, messages, noop, sequence_of

GET_FAMILY = 3
FAMILY_ID, FAMILY_NAME = 1, 2
CONTROL = 0x10


def _asking(name):
    return GET_FAMILY, attribute(FAMILY_NAME, name.encode() + b"\0")


def _names(listing):
    rows = (each for datagram in listing.datagrams for each in messages(datagram))
    return [attributes(row.payload)[FAMILY_NAME].rstrip(b"\0").decode() for row in rows]


@pytest.fixture
async def channel():
    made = await open_channel("nlctrl")
    yield made
    made.close()


def _small_channel(size):
    """A channel whose socket takes hardly any answer."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, netlink.NETLINK_GENERIC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    return Channel(sock, CONTROL)


# --- asking --------------------------------------------------------------------------------------------------------


async def test_a_question_is_answered_with_attributes_or_errno(channel):
    answers = await channel.query([_asking("nlctrl"), _asking("nosuch"), _asking("nlctrl")])
    assert answers[1] == errno.ENOENT
    for answer in (answers[0], answers[2]):
        assert struct.unpack("=H", attributes(answer)[FAMILY_ID]) == (CONTROL,)


async def test_hundreds_of_questions_are_answered_each_for_itself(channel):
    names = ["nlctrl" if at % 3 else f"nosuch{at}" for at in range(1000)]
    answers = await channel.query([_asking(name) for name in names])
    assert [answer == errno.ENOENT for answer in answers] == [name != "nlctrl" for name in names]


async def test_never_more_requests_are_under_way_than_their_answers_fit_into_the_smallest_usual_buffer():
    small = _small_channel(212_992 // 2)  # the kernel doubles what it is asked for
    try:
        assert [len(answer) > 0 for answer in await small.query([_asking("nlctrl")] * (5 * WINDOW))] == [True] * 200
    finally:
        small.close()


async def test_answers_that_the_kernel_had_to_drop_are_an_error_and_never_taken_for_done():
    small = _small_channel(1)
    try:
        with pytest.raises(AnswersLost):
            await small.query([_asking("nlctrl")] * WINDOW)
    finally:
        small.close()


async def test_a_list_is_read_to_its_end(channel):
    assert "nlctrl" in _names(await channel.dump(GET_FAMILY, b""))


async def test_lists_and_questions_follow_each_other_on_one_socket(channel):
    first = await channel.dump(GET_FAMILY, b"")
    await channel.query([_asking("nlctrl")])
    second = await channel.dump(GET_FAMILY, b"")
    assert _names(first) == _names(second)
    assert first.sequence != second.sequence


async def test_a_list_that_has_not_changed_reads_the_same_byte_by_byte(channel):
    await channel.query([_asking("nlctrl")])  # the kernel's buffers are as large as our reads from the second on
    first = await channel.dump(GET_FAMILY, b"")
    await channel.query([_asking("nlctrl")] * 100)
    assert await channel.dump(GET_FAMILY, b"", first) == first


async def test_a_list_that_is_refused_says_why(channel):
    with pytest.raises(DumpRefused) as refused:
        await channel.dump(99, b"")
    assert refused.value.code == errno.EOPNOTSUPP


async def test_the_loop_runs_while_many_requests_are_sent(channel):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await channel.query([_asking("nlctrl")] * 20_000)
    counting.cancel()
    assert turns > 3


async def test_a_silent_kernel_is_given_up():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    silent = Channel(ours, CONTROL, patience=0.05)
    try:
        with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s"):
            await silent.query([_asking("nlctrl")])
    finally:
        silent.close()
        theirs.close()


class SlowKernel:
    """Answers late, from a thread: after each request first something stale, then `answer` to it."""

    def __init__(self, answer):
        self._answer = answer
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self.channel = Channel(self._ours, CONTROL)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with suppress(ConnectionResetError):  # closed before it read everything
            while data := self._theirs.recv(1 << 16):
                self._answer_all(data)

    def _answer_all(self, data):
        for _, _, at in headers(data):
            self._theirs.send(message(CONTROL, 1, 0, 0, b"\x05\0\x01\0\xff\0\0\0"))
            for answer in self._answer(sequence_of(data[at:])):
                self._theirs.send(answer)

    def close(self):
        """End the thread and close both ends."""
        self.channel.close()
        self._thread.join()
        self._theirs.close()


def _error(sequence, code, kind=2, flags=0):
    return struct.pack("=IHHIIi", 20, kind, flags, sequence, 0, -code)


@pytest.fixture
def slow_kernel():
    made = []

    def make(answer):
        made.append(SlowKernel(answer))
        return made[-1].channel

    yield make
    for each in made:
        each.close()


async def test_late_answers_are_waited_for_and_stale_ones_ignored(slow_kernel):
    channel = slow_kernel(lambda sequence: [_error(sequence, sequence)])
    assert await channel.batch([_asking("a"), _asking("b")]) == [1, 2]
    codes = await channel.batch([_asking("c")] * 100)
    assert len(codes) == 100
    assert codes == sorted(set(codes))


async def test_requests_that_the_kernel_never_acknowledges_are_told_from_the_others(slow_kernel):
    silent = {2, 3, 6}
    channel = slow_kernel(lambda sequence: [] if sequence in silent else [_error(sequence, 0)])
    assert await channel.batch([_asking("a")] * 6) == [0, errno.EINTR, errno.EINTR, 0, 0, errno.EINTR]
    assert await channel.batch([_asking("a")] * 3) == [0, 0, 0]


async def test_the_kernel_acknowledges_a_request_for_nothing(channel):
    channel._socket.send(noop(77))
    datagram = await channel._receive()
    assert (sequence_of(datagram), netlink._answer(datagram)) == (77, 0)


async def test_a_list_that_the_kernel_says_was_disturbed_is_not_believed(slow_kernel):
    interrupted = 0x10
    row = attribute(FAMILY_NAME, b"x\0")

    def answer(sequence):
        return [message(CONTROL, 1, interrupted, sequence, row), _error(sequence, 0, kind=3)]

    with pytest.raises(AnswersLost):
        await slow_kernel(answer).dump(GET_FAMILY, b"")


async def test_the_end_of_a_list_may_stand_behind_its_last_row(slow_kernel):
    def answer(sequence):
        return [message(CONTROL, 1, 2, sequence, attribute(FAMILY_NAME, b"x\0")) + _error(sequence, 0, kind=3)]

    listing = await slow_kernel(answer).dump(GET_FAMILY, b"")
    assert len(listing.datagrams) == 1
    assert _names(listing) == ["x"]


async def test_a_list_that_ends_in_an_error_is_refused(slow_kernel):
    channel = slow_kernel(lambda sequence: [_error(sequence, errno.EMSGSIZE, kind=3)])
    with pytest.raises(DumpRefused) as refused:
        await channel.dump(GET_FAMILY, b"")
    assert refused.value.code == errno.EMSGSIZE


def test_bytes_that_are_cut_off_are_malformed():
    whole = message(CONTROL, 1, 0, 1, attribute(1, b"12345"))
    for end in range(16, len(whole)):
        with pytest.raises(Malformed):
            list(messages(whole[:end]))
    with pytest.raises(Malformed):
        attributes(b"\xff\0\1\0")


def test_messages_of_one_kind_are_looked_at_once_and_others_one_by_one():
    one, other = message(CONTROL, 1, 0, 1, attribute(1, b"12345")), message(CONTROL, 1, 2, 1, attribute(1, b"12345"))
    end = _error(1, 0, kind=3)
    assert list(kinds(one * 50)) == [(CONTROL, 1, 0)]
    for datagram in (one + other, one + one + end, end, one + message(CONTROL, 1, 0, 1, b"")):
        assert list(kinds(datagram)) == list(headers(datagram))
    for broken in (one * 3 + one[:-4], b"\1\0\0\0" * 4, b"\0" * 16):
        with pytest.raises(Malformed):
            list(kinds(broken))


# --- families, namespaces, modules ---------------------------------------------------------------------------------


async def test_a_family_that_is_not_there_is_missing(caplog):
    with pytest.raises(FamilyMissing, match="nosuchfamily"):
        await open_channel("nosuchfamily")
    assert caplog.text == ""


async def test_opening_forks_no_child_and_leaves_no_thread_behind():
    before = {thread.name for thread in threading.enumerate()}
    assert await in_namespace(None, os.getpid) == os.getpid()
    assert await in_namespace(None, threading.get_ident) != threading.get_ident()
    for _ in range(200):
        if {thread.name for thread in threading.enumerate()} == before:
            break
        await asyncio.sleep(0.05)
    assert {thread.name for thread in threading.enumerate()} == before


async def test_a_namespace_that_does_not_exist_is_an_error_and_is_not_created():
    name = f"hd{uuid4().hex[:8]}"
    with pytest.raises(NamespaceMissing, match=name):
        await open_channel("nlctrl", name)
    with pytest.raises(TableUnavailable, match=f"no network namespace '{name}'"):
        await KernelTable(name).snapshot()
    assert not namespace_path(name).exists()


async def test_what_is_no_namespace_cannot_be_entered():
    with pytest.raises(PermissionError, match="cannot enter network namespace"):
        await in_namespace("/dev/null", os.getpid)


def test_a_namespace_is_named_or_a_path():
    assert namespace_path("blue") == Path("/run/netns/blue")
    assert namespace_path("/proc/1/ns/net") == Path("/proc/1/ns/net")
    assert namespace_identity("/proc/self/ns/net") == namespace_identity(f"/proc/{os.getpid()}/ns/net")


@pytest.fixture
def netns():
    name = f"hd{uuid4().hex[:8]}"
    if os.geteuid() or subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
        pytest.skip("needs root and network namespaces")
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def _inode_of_own_namespace():
    return Path("/proc/thread-self/ns/net").stat().st_ino


async def test_an_action_happens_in_the_other_namespace_and_we_stay_in_ours(netns):
    ours = _inode_of_own_namespace()
    theirs = await in_namespace(netns, _inode_of_own_namespace)
    assert theirs == namespace_identity(netns)[1] != ours
    assert await in_namespace(str(namespace_path(netns)), _inode_of_own_namespace) == theirs
    assert _inode_of_own_namespace() == ours
    assert await in_namespace(None, _inode_of_own_namespace) == ours


async def test_a_module_that_cannot_be_loaded_says_why():
    assert (
        "nosuchmodule" in await load_module("nosuchmodule") or shutil.which("modprobe", path="/usr/sbin:/sbin") is None
    )


async def test_a_kernel_without_ipvs_is_told_with_the_remedy():
    try:
        (await open_channel("IPVS")).close()
        pytest.skip("this kernel has IPVS")
    except FamilyMissing:
        pass
    table = KernelTable()
    for call in (table.snapshot(), table.apply([])):
        with pytest.raises(TableUnavailable, match="modprobe ip_vs"):
            await call
    await table.close()
