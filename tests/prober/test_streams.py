"""Stream conversations against real servers on loopback, well-behaved ones and others, over IPv4 and IPv6."""

from __future__ import annotations

import socket
import threading

import pytest

from healthd.check import (
    CheckFailed,
    Connect,
    Datagram,
    Finish,
    Inconclusive,
    Outcome,
    Reader,
    Reason,
    Receive,
    Send,
    Target,
    Verdict,
    Whence,
)
from healthd.prober.ask import ask
from healthd.prober.transcript import Kind
from tests.prober.patience import late
from tests.prober.talk import Line, Steps, Tcp
from tests.support import servers

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
AMPLE = 20.0
"""Seconds for probes that are expected to end by themselves."""


async def verdict(check, target, within=AMPLE):
    return (await ask(check, target, within))[0]


@FAMILIES
async def test_a_server_that_accepts_passes(family):
    with servers.serving(servers.accept_only, family) as server:
        assert await verdict(Tcp(), server.target) == Verdict(Outcome.PASS, detail="connected")


@FAMILIES
async def test_a_line_goes_there_and_back(family):
    with servers.serving(servers.echo_lines, family) as server:
        assert (await verdict(Line(), server.target)).detail == "hello"


@FAMILIES
async def test_a_port_where_nobody_listens_is_refused(family):
    said = await verdict(Tcp(), servers.refusing(family))
    assert said == Verdict(Outcome.FAIL, Reason.REFUSED, "connection refused")


@FAMILIES
async def test_a_host_that_drops_everything_times_out_and_says_that_it_never_connected(family):
    with servers.black_hole(family) as target:
        said, within = await late(Tcp(), target)
    assert said == Verdict(Outcome.FAIL, Reason.TIMEOUT, f"no connection within {within}")


async def test_a_silent_server_times_out_and_the_detail_says_how_far_it_went():
    with servers.serving(servers.silent) as server:
        said, within = await late(Line(b"x" * 71 + b"\n"), server.target)
    assert said.reason is Reason.TIMEOUT
    assert said.detail.startswith(f"no answer within {within}; connected after ")
    assert said.detail.endswith(", sent 72 bytes")


async def test_an_answer_that_stops_half_way_says_how_much_of_it_came():
    def stop(connection):
        connection.sendall(b"half an ans")
        servers.silent(connection)

    with servers.serving(stop) as server:
        said, within = await late(Line(), server.target)
    assert said.detail.startswith(f"no complete answer within {within}; connected after ")
    assert said.detail.endswith(", sent 6 bytes, received 11 bytes")


async def test_a_slow_drip_is_put_together():
    with servers.serving(servers.drip) as server:
        assert (await verdict(Line(b"slow but right\n"), server.target)).detail == "slow but right"


async def test_a_reset_in_the_middle_of_an_answer_fails():
    with servers.serving(servers.reset_in_answer) as server:
        said = await verdict(Line(), server.target)
    assert said == Verdict(Outcome.FAIL, Reason.RESET, "connection reset")


async def test_a_half_line_is_a_protocol_error():
    with servers.serving(servers.half_line) as server:
        said = await verdict(Line(), server.target)
    assert said == Verdict(Outcome.FAIL, Reason.PROTOCOL, "connection closed after 11 bytes")


async def test_junk_is_a_wrong_answer():
    with servers.serving(servers.junk) as server:
        assert (await verdict(Line(), server.target)).reason is Reason.UNEXPECTED


async def test_an_endless_answer_ends_at_the_readers_limit():
    with servers.serving(servers.endless) as server:
        said = await verdict(Line(), server.target)
    assert said == Verdict(Outcome.FAIL, Reason.PROTOCOL, "answer is longer than 65536 bytes")


async def test_a_conversation_that_reads_without_end_ends_at_its_deadline_and_holds_up_nobody():
    def devour(target):
        yield Connect()
        while (yield Receive()):
            pass
        return "never"

    with servers.serving(servers.endless) as greedy, servers.serving(servers.echo_lines) as other:
        said = await verdict(Steps(devour), greedy.target, 0.3)
        assert said.reason in (Reason.TIMEOUT, Reason.LOCAL)  # LOCAL if this machine was slow: then nobody knows
        assert (await verdict(Line(), other.target)).outcome is Outcome.PASS


async def test_more_than_the_buffers_hold_is_sent_in_parts():
    size = 3_000_000
    got = []

    def swallow(connection):
        threading.Event().wait(0.1)
        left = size
        while left:
            left -= len(connection.recv(65536))
        got.append(size - left)
        connection.sendall(b"thanks\n")

    def pour(target):
        yield Connect()
        yield Send(b"x" * size)
        return (yield from Reader().line()).decode()

    with servers.serving(swallow) as server:
        assert (await verdict(Steps(pour), server.target)).detail == "thanks"
    assert got == [size]


async def test_a_server_that_takes_nothing_is_told_apart_from_one_that_does_not_answer():
    def pour(target):
        yield Connect()
        yield Send(b"x" * 20_000_000)
        return "never"

    with servers.serving(servers.no_reader) as server:
        said, within = await late(Steps(pour), server.target)
    assert said.detail.startswith(f"the server did not take what was sent within {within}")


async def test_the_end_of_a_stream_is_an_empty_answer():
    def wait(target):
        yield Connect()
        data = yield Receive()
        return repr(data)

    with servers.serving(servers.close_at_once) as server:
        assert (await verdict(Steps(wait), server.target)).detail == "b''"


async def test_receive_gives_at_most_what_was_asked_for_and_loses_nothing():
    def sip(target):
        yield Connect()
        whole = b""
        while data := (yield Receive(7)):
            assert len(data) <= 7
            whole += data
        assert whole == bytes(range(256)) * 4
        return "all"

    with servers.serving(servers.junk) as server:
        assert (await verdict(Steps(sip), server.target)).detail == "all"


async def test_a_conversation_may_try_again_after_a_refusal():
    def stubborn(target):
        try:
            yield Connect()
        except CheckFailed as error:
            return f"as expected: {error.detail}"
        return "not refused"

    said = await verdict(Steps(stubborn), servers.refusing())
    assert said == Verdict(Outcome.PASS, detail="as expected: connection refused")


async def test_a_conversation_that_tries_again_for_ever_is_ended():
    def mad(target):
        while True:
            try:
                yield Connect()
            except Inconclusive:
                continue

    target = servers.refusing()
    nowhere = Target(target.address, target.port, interface="no-such-device")
    said = await verdict(Steps(mad), nowhere)
    assert said.outcome is Outcome.INCONCLUSIVE


async def test_a_mistake_in_a_check_says_nothing_about_the_server(caplog):
    def broken(target):
        yield Connect()
        raise KeyError("oops")

    with servers.serving(servers.accept_only) as server:
        said = await verdict(Steps(broken), server.target)
    assert said == Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "a mistake in healthd: KeyError: 'oops'")
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("wrong", [Send(b"x"), Receive(), "no step"])
async def test_a_step_out_of_place_is_a_mistake_of_ours(wrong):
    def confused(target):
        yield wrong
        return "never"

    assert (await verdict(Steps(confused), servers.refusing())).reason is Reason.LOCAL


async def test_returning_something_else_than_a_text_is_a_mistake_of_ours():
    def odd(target):
        yield Connect()
        return 7

    with servers.serving(servers.accept_only) as server:
        said = await verdict(Steps(odd), server.target)
    assert said.outcome is Outcome.INCONCLUSIVE


async def test_a_source_address_that_is_not_ours_is_our_fault():
    target = servers.refusing()
    said = await verdict(Tcp(), Target(target.address, target.port, source=type(target.address)("192.0.2.9")))
    assert said == Verdict(
        Outcome.INCONCLUSIVE, Reason.LOCAL, "binding to 192.0.2.9: it is not an address of this machine"
    )


async def test_a_source_address_is_used():
    peers = []

    def note(connection):
        peers.append(connection.getpeername()[0])

    with servers.serving(note) as server:
        target = Target(server.target.address, server.port, source=type(server.target.address)("127.0.0.77"))
        assert (await verdict(Tcp(), target)).outcome is Outcome.PASS
        while not peers:
            threading.Event().wait(0.01)
    assert peers == ["127.0.0.77"]


async def test_an_interface_that_is_not_there_is_our_fault():
    target = servers.refusing()
    said = await verdict(Tcp(), Target(target.address, target.port, interface="nosuch0"))
    assert said.outcome is Outcome.INCONCLUSIVE
    assert said.detail == "binding to interface nosuch0: there is no such interface"


async def test_a_link_local_address_needs_its_interface():
    address = servers.refusing(socket.AF_INET6).address
    target = Target(type(address)("fe80::1%nosuch0"), 80)
    assert (await verdict(Tcp(), target)).detail == "there is no interface nosuch0 here"


async def test_another_network_namespace_is_refused():
    target = servers.refusing()
    said = await verdict(Tcp(), Target(target.address, target.port, netns="blue"))
    assert said == Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "not in network namespace blue")


async def test_the_namespace_we_are_in_is_known_by_name_and_by_path():
    with servers.serving(servers.accept_only) as server:
        target = Target(server.target.address, server.port, netns="blue")
        said, _ = await ask(Tcp(), target, AMPLE, netns="/var/run/netns/blue")
    assert said.outcome is Outcome.PASS


async def test_the_transcript_tells_what_was_sent_and_what_came_and_when():
    with servers.serving(servers.echo_lines) as server:
        _, transcript = await ask(Line(), server.target, AMPLE)
    kinds = [line.kind for line in transcript.lines]
    assert kinds == [Kind.WANT, Kind.CONNECTED, Kind.SENT, Kind.WANT, Kind.RECEIVED]
    assert transcript.lines[2].data == transcript.lines[4].data == b"hello\n"
    assert 0 < transcript.connected < transcript.first_byte < transcript.took
    times = [line.at for line in transcript.lines]
    assert times == sorted(times)


# --- half-closed streams, and our own end ---


def read_all_then_answer(connection):
    """Answer only once the client has said that nothing more comes."""
    question = b""
    while data := connection.recv(4096):
        question += data
    connection.sendall(b"%d bytes\n" % len(question))


@FAMILIES
@pytest.mark.parametrize("size", [0, 5, 3_000_000])
async def test_a_half_close_follows_all_that_was_sent_and_the_answer_still_comes(family, size):
    def tell(target):
        yield Connect()
        if size:
            yield Send(b"x" * size)
        yield Finish()
        return (yield from Reader().line()).decode()

    with servers.serving(read_all_then_answer, family) as server:
        assert (await verdict(Steps(tell), server.target)).detail == f"{size} bytes"


async def test_a_half_close_of_what_is_broken_is_told_when_it_is_read():
    def tell(target):
        yield Connect()
        yield Send(b"hello\n")
        assert (yield Receive()) == b"half an ans"
        yield Finish()
        yield from Reader().line()

    with servers.serving(servers.reset_in_answer) as server:
        said = await verdict(Steps(tell), server.target)
    assert (said.outcome, said.reason) == (Outcome.FAIL, Reason.RESET)


@FAMILIES
async def test_a_conversation_can_ask_for_its_own_end(family):
    def tell(opening):
        def steps(target):
            yield opening
            own = yield Whence()
            yield Send(b"hello\n")
            yield Receive()
            return f"{own.address} {own.port}"

        return Steps(steps)

    heard = []

    def listen(connection):
        heard.append("{} {}".format(*connection.getpeername()[:2]))
        servers.echo_lines(connection)

    with servers.serving(listen, family) as server:
        assert [(await verdict(tell(Connect()), server.target)).detail] == heard
    with servers.answering(lambda data: [data], family) as server:
        assert (await verdict(tell(Datagram()), server.target)).detail == f"{server.address} {server.ports[0]}"


@pytest.mark.parametrize("step", [Finish(), Whence()])
async def test_a_step_on_what_is_not_open_is_a_mistake_of_the_check(step):
    def tell(target):
        yield step
        return "never"

    said = await verdict(Steps(tell), servers.refusing())
    assert said.outcome is Outcome.INCONCLUSIVE
    assert type(step).__name__ in said.detail
