"""The same ldirectord.cf before ldirectord's own checks and before ours, and what each says of the same servers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.config.ldirectord.oracle import PROGRAM

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
UP, DOWN, UNSURE, HANGS, DIED, NOTHING = "up", "down", "unsure", "hangs", "died", "nothing"
NO_HURRY, SOON = 40, 2
"""Timeouts of the checks, in seconds: where the answer is what counts, and where there is none."""
LONGEST, HANGING = 80, 5
"""Seconds after which ldirectord is ended and said to hang: where it should not, and where it should."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of the server at a port, in the words of ldirectord.cf, and what both must say.

    theirs: what ldirectord says where it is not what we say, `want`; `defect` is its number in docs/from-ldirectord.md,
    and `warning` a part of what our reader must tell the operator about it, if it is for him to know.
    """

    name: str
    port: int
    lines: tuple[str, ...]
    want: str
    theirs: str
    timeout: int = NO_HURRY
    defect: str = ""
    warning: str = ""
    address: str = "127.0.0.1"
    virtual: str = "192.0.2.1:9"
    real: str = ""

    @property
    def text(self) -> str:
        """The configuration."""
        six = "6" if ":" in self.address else ""
        virtual = self.virtual.replace("192.0.2.1", "[2001:db8::1]") if six else self.virtual
        timeouts = (f"checktimeout = {self.timeout}", f"negotiatetimeout = {self.timeout}")
        real = f"real{six} = {self.address}:{self.port} masq {self.real}".rstrip()
        return "\n    ".join((f"virtual{six} = {virtual}", real, *timeouts, *self.lines)) + "\n"


def up(name: str, port: int, *lines: str, **more: Any) -> Case:
    """Up, for both."""
    return Case(name, port, lines, UP, UP, **more)


def down(name: str, port: int, *lines: str, **more: Any) -> Case:
    """Down, for both."""
    return Case(name, port, lines, DOWN, DOWN, **more)


def only_theirs(defect: str, name: str, port: int, *lines: str, **more: Any) -> Case:
    """Up for ldirectord, down for us."""
    return Case(name, port, lines, DOWN, UP, defect=defect, **more)


def only_ours(defect: str, name: str, port: int, *lines: str, **more: Any) -> Case:
    """Down for ldirectord, up for us."""
    return Case(name, port, lines, UP, DOWN, defect=defect, **more)


def hanging(port: int, *lines: str, **more: Any) -> Case:
    """It says nothing: ldirectord waits for ever."""
    return Case("it says nothing", port, lines, DOWN, HANGS, SOON, "B22", **more)


def unanswered(ports: Nobody, *lines: str, **more: Any) -> list[Case]:
    """Down for both, because nobody is there, and because somebody says nothing."""
    return [
        down("nothing listens", ports.refusing, *lines, timeout=SOON, **more),
        down("it says nothing", ports.silent, *lines, timeout=SOON, **more),
    ]


@dataclass(frozen=True, slots=True)
class Nobody:
    """A port where nothing listens, and one where somebody takes everything and says nothing; both for TCP and UDP."""

    refusing: int
    silent: int


def named_otherwise(authority: trustme.CA) -> ssl.SSLContext:
    """For a server with a certificate of this authority for another name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.test").configure_cert(context)
    return context


def certified_otherwise() -> ssl.SSLContext:
    """For a server with a certificate for loopback, of an authority that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@contextlib.contextmanager
def nobody() -> Iterator[Nobody]:
    """Both ports, kept from others as long as they are needed."""
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        stream = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        datagrams.bind(stream.getsockname())
        yield Nobody(taken.getsockname()[1], stream.getsockname()[1])


needs_ldirectord = pytest.mark.skipif(not PROGRAM.exists(), reason="needs the package ldirectord")


def compare(folder: Path, cases: Sequence[Case], **environment: str) -> None:
    """Ask for all cases at the same time, by both; AssertionError with every case that is not as it should be."""
    files = {folder / f"{number}.cf": case for number, case in enumerate(cases)}
    for path, case in files.items():
        path.write_text(case.text)
    around = {**os.environ, **environment}
    with ThreadPoolExecutor(2) as threads:
        theirs = threads.submit(_stock, files, around)
        ours = threads.submit(_healthd, files, around)
        found = [_wrong(case, theirs.result()[path], ours.result()[path]) for path, case in files.items()]
    wrong = [text for text in found if text]
    assert not wrong, "\n".join(["", *wrong])


def needs_module(module: str, package: str) -> None:
    """Skip where a module of Perl is not installed that ldirectord's package does not ask for."""
    if subprocess.run(["perl", f"-M{module}", "-e1"], capture_output=True, check=False).returncode:
        pytest.skip(f"needs the package {package}")


def _stock(files: Mapping[Path, Case], environment: Mapping[str, str]) -> dict[Path, str]:
    bounds = {path: HANGING if case.theirs == HANGS else LONGEST for path, case in files.items()}
    asked = "".join(f"{seconds} {path}\n" for path, seconds in bounds.items())
    argv = ["perl", str(HERE / "stock_checks.pl"), str(PROGRAM)]
    found = (line.partition(" ") for line in _output(argv, environment, asked))
    return {Path(path): told for path, _, told in found}


def _healthd(files: Mapping[Path, Case], environment: Mapping[str, str]) -> dict[Path, dict[str, Any]]:
    argv = [sys.executable, "-m", "tests.checks.beside.our_checks", *map(str, files)]
    answers = [json.loads(line) for line in _output(argv, environment)]
    return {Path(answer["path"]): answer for answer in answers}


def _output(argv: Sequence[str], environment: Mapping[str, str], text: str = "") -> list[str]:
    ran = subprocess.run(argv, input=text, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def _wrong(case: Case, theirs: str, ours: Mapping[str, Any]) -> str:
    """What is not as the case says it; nothing if all is."""
    verdicts = {"pass": UP, "fail": DOWN, "inconclusive": UNSURE}
    said = {verdicts.get(outcome, outcome) for outcome, _ in ours["asked"]}
    told = (theirs.split() or [NOTHING])[-1] if not theirs.startswith(DIED) else DIED
    if (told, said) == (case.theirs, {case.want}) and case.warning in ours["warnings"]:
        return ""
    wanted = f"want {case.theirs} and {case.want}" + (f" ({case.defect})" if case.defect else "")
    return f"{case.name}: {wanted}\n    theirs: {theirs}\n    ours: {ours['asked']} {ours['warnings']}\n{case.text}"
