"""oracle: what it asks its program, what it makes of every answer, and the program against servers that misbehave.

There is no Oracle to test with: what a database does once it has let us in is played here by its words alone.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from healthd.check import Outcome, Ran, Reason, Run, Target, Verdict
from healthd.config.schema import RunnerSettings
from healthd.prober.ask import ask
from healthd.prober.base import Runner
from healthd.runner.process import start_runner
from tests.checks.harness import V4, V6, Channel, Player, play
from tests.checks.harness import program as ended
from tests.support import servers

pytest.importorskip("oracledb", reason="needs the extra oracle")
from checks.oracle import OracleCheck

PATIENCE = 20.0
JOE = OracleCheck("joe", password="secret", service="app")


@pytest_asyncio.fixture(name="runner")
async def running() -> AsyncIterator[Runner]:
    runner = start_runner(RunnerSettings())
    yield runner
    await runner.close()


async def verdict_of(target: Target, runner: Runner, within: float = PATIENCE) -> Verdict:
    for _ in range(20):
        verdict, _ = await ask(JOE, target, within, runner)
        if "stalled" not in verdict.detail:
            break
    return verdict


def said(**words: Any) -> Channel:
    return ended(0, json.dumps(words).encode() + b"\n")


def test_what_is_asked_goes_to_a_program_of_its_own_and_nobody_can_read_it():
    for target in (V4, V6, replace(V4, netns="blue")):
        player = Player([said(row=["1"])])
        assert player.play(JOE, target).detail == "1"
        (run,) = player.steps
        assert isinstance(run, Run)
        assert run.argv[:2] == (sys.executable, "-I")
        assert "secret" not in " ".join(run.argv)
        assert run.netns == target.netns
        assert json.loads(dict(run.env)["HEALTHD_ORACLE"]) == {
            "host": str(target.address),
            "port": 80,
            "user": "joe",
            "password": "secret",
            "service": "app",
            "sid": None,
            "query": "SELECT 1 FROM dual",
            "query_time": 3.0,
        }


@pytest.mark.parametrize(
    ("answer", "options", "want"),
    [
        (said(row=["7"]), {"expect": "^7$"}, (Outcome.PASS, Reason.OK, "7")),
        (said(row=["8"]), {"expect": "^7$"}, (Outcome.FAIL, Reason.UNEXPECTED, "expect '^7$' does not match: got '8'")),
        (said(row=[None]), {}, (Outcome.PASS, Reason.OK, "NULL")),
        (said(row=None), {}, (Outcome.FAIL, Reason.UNEXPECTED, "the result has no row")),
        (said(row=None), {"allow_empty": True}, (Outcome.PASS, Reason.OK, "no row")),
        (said(failure="refused", detail="closed"), {}, (Outcome.FAIL, Reason.REFUSED, "closed")),
        (said(doubt="no descriptor"), {}, (Outcome.INCONCLUSIVE, Reason.LOCAL, "no descriptor")),
        (
            ended(-11, b"Segmentation fault"),
            {},
            (Outcome.FAIL, Reason.PROTOCOL, "oracledb cannot read the answer (signal 11)"),
        ),
        (
            ended(-9),
            {},
            (Outcome.INCONCLUSIVE, Reason.LOCAL, "the program that asks was killed; is there memory left?"),
        ),
        (
            ended(1, b"Traceback\nImportError: x\n"),
            {},
            (Outcome.INCONCLUSIVE, Reason.LOCAL, "the program that asks ended with 1: ImportError: x"),
        ),
        (ended(0), {}, (Outcome.INCONCLUSIVE, Reason.LOCAL, "the program that asks says ''")),
        (ended(0, b"warning\n"), {}, (Outcome.INCONCLUSIVE, Reason.LOCAL, "the program that asks says 'warning'")),
    ],
)
def test_what_the_program_says_is_judged(answer: Channel, options: dict[str, object], want: object):
    verdict = play(replace(JOE, **options), answer)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason, verdict.detail) == want


@given(st.integers(-64, 255), st.binary(max_size=60) | st.from_type(type(None)).map(lambda _: b"[]"))
def test_whatever_the_program_says_is_a_verdict_and_never_a_pass(status: int, output: bytes):
    assert play(JOE, Channel([], Ran(status, output))).outcome is not Outcome.PASS


@pytest.mark.parametrize("place", [{"source": ip_address("192.0.2.9")}, {"interface": "lo"}, {"mark": 7}])
def test_a_place_of_ours_cannot_be_had(place: dict[str, Any]):
    assert play(JOE, target=replace(V4, **place)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sid": "x"}, "service and sid exclude each other"),
        ({"service": None}, "service or sid is needed"),
        ({"expect": "("}, "is not a regular expression"),
        ({"expect": "1", "allow_empty": True}, "exclude each other"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str):
    with pytest.raises(ValueError, match=words):
        replace(JOE, **options)  # type: ignore[arg-type]


def test_without_its_library_the_check_says_which_extra_brings_it():
    lacking = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'oracledb' else f(n)"
    run = subprocess.run(
        [sys.executable, "-c", f"{lacking}; import checks.oracle"], capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError: the check oracle needs oracledb" in run.stderr
    assert "pip install 'healthd[oracle]'" in run.stderr


def test_the_library_is_imported_by_the_program_only():
    program = "import sys; from healthd.registry import check_class as c; c('oracle'); print('oracledb' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


# --- the program, against servers on loopback ---


def tns(kind: int, body: bytes) -> bytes:
    """A packet of the transport below Oracle's protocol, as its listener answers a connect."""
    return (len(body) + 8).to_bytes(2, "big") + b"\0\0" + bytes((kind, 0, 0, 0)) + body


def refusing(code: int) -> servers.Handler:
    text = f"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))".encode()

    def handler(connection: socket.socket) -> None:
        asked = b""
        while b"(SERVICE_NAME=app)" not in asked:
            asked += connection.recv(4096)
        connection.sendall(tns(4, b"\1\0" + len(text).to_bytes(2, "big") + text))
        connection.recv(4096)

    return handler


def web(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def crashing(connection: socket.socket) -> None:
    """An accept that lies about its lengths, which ends the library, and what it runs in."""
    connection.recv(4096)
    connection.sendall(tns(2, bytes.fromhex("013b0c01000000000100000000000000") + bytes(20)))
    connection.recv(4096)


def again(connection: socket.socket) -> None:
    """Ask for the question again and again."""
    while connection.recv(4096):
        connection.sendall(tns(11, b""))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_closed_port_refuses(family: int, runner: Runner):
    verdict = await verdict_of(servers.refusing(family), runner)
    assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.FAIL, Reason.REFUSED, "connection refused")


async def test_a_listener_that_does_not_know_the_service_is_told(runner: Runner):
    with servers.serving(refusing(12514)) as server:
        verdict = await verdict_of(server.target, runner)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert 'Service "app" is not registered with the listener' in verdict.detail
    assert "\n" not in verdict.detail
    assert "CONNECTION_ID" not in verdict.detail


@pytest.mark.parametrize(
    "handler", [web, crashing, servers.junk, servers.close_at_once, servers.reset, refusing(12528)]
)
async def test_a_server_that_is_no_oracle_fails_and_harms_nobody(handler: servers.Handler, runner: Runner):
    with servers.serving(handler) as server:
        verdict = await verdict_of(server.target, runner)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (Reason.RESET, Reason.PROTOCOL, Reason.UNEXPECTED)


@pytest.mark.parametrize("handler", [again, servers.accept_only, servers.silent, servers.echo_lines, servers.endless])
async def test_a_server_that_keeps_it_busy_is_let_go_at_the_deadline(handler: servers.Handler, runner: Runner):
    with servers.serving(handler) as server:
        verdict = await verdict_of(server.target, runner, 1.0)
        assert verdict.outcome is Outcome.FAIL
        assert verdict.reason in (Reason.TIMEOUT, Reason.PROTOCOL)
    for _ in range(200):
        if not asking(server.port):
            break
        await asyncio.sleep(0.1)
    assert asking(server.port) == []


def asking(port: int) -> list[Path]:
    """The processes that are the program that asks at this port."""
    return [process for process in Path("/proc").glob("[0-9]*") if asks_of(process, port)]


def asks_of(process: Path, port: int) -> bool:
    try:
        return f'"port": {port},'.encode() in (process / "environ").read_bytes()
    except OSError:
        return False
