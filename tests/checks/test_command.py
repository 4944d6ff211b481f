"""python -m checks: one line, the exit codes of monitoring plugins, options made from the check's fields, a trace."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from checks.__main__ import main
from checks.arguments import Unusable, add_options, build
from checks.tcp import TcpCheck
from healthd.check import REQUIRED, Conversation, Target, Tls, option
from healthd.registry import BUILT_IN
from tests.support import servers


def answer(connection: socket.socket) -> None:
    while servers.line_of(connection) != b"\r\n":
        pass
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nalive\n")


def test_as_a_program_it_prints_one_line_and_passes():
    with servers.serving(answer) as server:
        argv = [
            sys.executable,
            "-m",
            "checks",
            "http",
            f"127.0.0.1:{server.port}",
            "--path",
            "/healthz",
            "--timeout",
            "20s",
        ]
        run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(rf"OK - http 127\.0\.0\.1:{server.port}: 200 OK \(\d+\.\d ms\)\n", run.stdout)


def test_a_failed_server_is_2(capsys):
    target = servers.refusing(socket.AF_INET6)
    assert main(["tcp", f"[::1]:{target.port}", "--timeout", "20"]) == 2
    assert capsys.readouterr().out.startswith(f"FAIL - tcp [::1]:{target.port}: refused: connection refused (")


def test_a_question_that_cannot_be_asked_is_3(capsys):
    with servers.serving(answer) as server:
        assert main(["http", f"127.0.0.1:{server.port}", "--tls-ca-file", "/nonexistent"]) == 3
    out = capsys.readouterr().out
    assert out.startswith(f"INCONCLUSIVE - http 127.0.0.1:{server.port}: /nonexistent: No such file")


def test_the_question_comes_from_the_source_that_was_named(capsys):
    peers = []

    def look(connection: socket.socket) -> None:
        peers.append(connection.getpeername()[0])
        answer(connection)

    with servers.serving(look) as server:
        argv = ["http", f"127.0.0.1:{server.port}", "--source", "127.0.0.77", "--interface", "lo", "--timeout", "20s"]
        assert main(argv) == 0, capsys.readouterr().out
    assert peers == ["127.0.0.77"]


def test_a_trace_shows_what_was_sent_and_received(capsys):
    with servers.serving(answer) as server:
        assert main(["http", f"127.0.0.1:{server.port}", "--expect", "^alive$", "--trace", "--timeout", "20s"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\d ms > sent \d+ bytes\n +>   GET / HTTP/1\.1", out)
    assert re.search(r"\d ms < received \d+ bytes\n +<   HTTP/1\.1 200 OK", out)


def test_a_script_runs_and_may_ask_for_a_weight(capsys, tmp_path: Path):
    script = tmp_path / "check"
    script.write_text('#!/bin/sh\necho "fine weight=$1"\n')
    script.chmod(0o755)
    argv = ["script", "192.0.2.1", "--command", str(script), "--args", "7", "--weight", "output", "--timeout", "20s"]
    assert main(argv) == 0
    assert re.match(r"OK - script 192\.0\.2\.1: fine weight=7, weight 7 \(", capsys.readouterr().out)


def test_it_lists_every_kind(capsys):
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == sorted(BUILT_IN)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "which kind of check"),
        (["htp", "127.0.0.1"], "there is no check 'htp'"),
        (["tcp", "127.0.0.1"], "which port? Write 127.0.0.1:PORT"),
        (["tcp"], "the following arguments are required: ADDRESS[:PORT]"),
        (["tcp", "127.0.0.1:x"], "'x' is not a port"),
        (["tcp", "127.0.0.1:65536"], "65536 is not a port"),
        (["tcp", "name.invalid:1"], "name.invalid: "),
        (["http", "127.0.0.1", "--path", "x"], "--path: must begin with '/'"),
        (["http", "127.0.0.1", "--status", "2x"], "--status: '2x' is neither"),
        (["http", "127.0.0.1", "--headers", "x"], "'x' is not NAME=VALUE"),
        (["http", "127.0.0.1", "--version", "2"], "invalid choice: '2'"),
        (["http", "127.0.0.1", "--method", "HEAD", "--expect", "x"], "HEAD has no body"),
        (["http", "127.0.0.1", "--timeout", "soon"], "--timeout: must be a time"),
        (["http", "127.0.0.1", "--timeout", "0"], "--timeout: must be a time"),
        (["http", "127.0.0.1", "--mark", "0"], "--mark: must be 1 to"),
        (["dns", "127.0.0.1"], "required: --name"),
        (["tcp", "127.0.0.1:1", "--send-hex", "xy"], "--send-hex"),
    ],
)
def test_wrong_usage_is_3_and_says_what_is_wrong(capsys, argv: list[str], text: str):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 3
    assert text in capsys.readouterr().err


def test_names_are_looked_up_and_usual_ports_known(capsys):
    main(["http", "localhost", "--timeout", "20s"])
    main(["dns", "::1", "--name", "x.test", "--timeout", "100ms"])
    main(["ping", "127.0.0.1", "--timeout", "20s"])
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r" - http (127\.0\.0\.1|\[::1\]):80: ", lines[0])
    assert " - dns [::1]:53: " in lines[1]
    assert " - ping 127.0.0.1: " in lines[2]


@dataclass(frozen=True, slots=True)
class OddCheck:
    """Has an option of every type."""

    kind: ClassVar[str] = "odd"
    needed: str = option(REQUIRED, "what must be given, 100 %")
    count: int = option(3, "a number")
    share: float = option(0.5, "a share")
    brave: bool = option(True, "yes or no")
    data: bytes = option(b"", "bytes")
    maybe: bytes | None = option(None, "bytes or none")
    way: Literal["up", "down"] = option("up", "a choice")
    names: tuple[str, ...] = option((), "several")
    table: tuple[tuple[str, str], ...] = option((), "pairs")
    secret: str | None = option(None, "nobody's business", secret=True)
    tls: Tls | None = option(None, "TLS")

    def converse(self, target: Target) -> Conversation:
        """Pass."""
        yield from ()
        return ""


def odd(*argv: str, **environment: str) -> object:
    parser = ArgumentParser()
    add_options(parser, OddCheck)
    parser.format_help()
    return build(OddCheck, parser.parse_args(argv), environment)


def test_every_type_of_option_has_its_arguments():
    assert odd("--needed", "x") == OddCheck("x")
    full = odd(
        *("--needed", "x", "--count", "4", "--share", "0.25", "--no-brave", "--data", "é", "--maybe-hex", "00 ff"),
        *("--way", "down", "--names", "a", "--names", "b", "--table", "A=b=c", "--table", "D=", "--secret", "s"),
        *("--tls-server-name", "n", "--no-tls-verify", "--tls-alpn", "h2", "--tls-min-days", "3"),
    )
    tls = Tls(verify=False, server_name="n", alpn=("h2",), min_days=3)
    assert full == OddCheck(
        "x", 4, 0.25, False, "é".encode(), b"\0\xff", "down", ("a", "b"), (("A", "b=c"), ("D", "")), "s", tls
    )


def test_tls_alone_takes_its_defaults():
    assert odd("--needed", "x", "--tls") == OddCheck("x", tls=Tls())


def test_secrets_may_be_in_the_environment_and_other_options_not():
    assert odd("--needed", "x", HEALTHD_SECRET="s", HEALTHD_COUNT="9") == OddCheck("x", secret="s")
    assert odd("--needed", "x", "--secret", "t", HEALTHD_SECRET="s") == OddCheck("x", secret="t")


def test_what_a_check_refuses_is_an_unusable_argument():
    parser = ArgumentParser()
    add_options(parser, TcpCheck)
    with pytest.raises(Unusable, match="exclude each other"):
        build(TcpCheck, parser.parse_args(["--expect", "a", "--expect-hex", "00"]), {})
