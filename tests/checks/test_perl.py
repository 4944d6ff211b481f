"""The perl check: how the file is called, what each way to end it means with the real perl, and whose fault it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from checks.perl import BoundPerl, PerlCheck
from healthd.check import Binding, Check, Outcome, Reason, Run, Target, Verdict
from healthd.config.schema import RunnerSettings
from healthd.prober.ask import ask
from healthd.runner.process import RunnerProcesses, start_runner
from tests.checks.harness import V4, V6, Player, failed, passed, play, program
from tests.checks.servers import program as installed

ROW = Binding("web", "2001:db8::80", 443, ip_address("2001:db8::11"), 8443)
MARK = Binding("web", "7", 0, ip_address("192.0.2.11"), 80)


def run_of(check: PerlCheck, binding: Binding | None = None, target: Target = V4) -> Run:
    player = Player([program(0)])
    player.play(check if binding is None else check.bound(binding), target)
    (step,) = player.steps
    assert isinstance(step, Run)
    return step


def test_the_file_is_given_to_perl_with_the_four_arguments_of_ldirectord():
    run = run_of(PerlCheck("/etc/{x}/check.pl"), ROW)
    assert run.argv[:2] == ("/usr/bin/perl", "-e")
    assert run.argv[3:] == ("/etc/{x}/check.pl", "[2001:db8::80]", "443", "[2001:db8::11]", "8443")
    assert run_of(PerlCheck("/c"), MARK).argv[3:] == ("/c", "7", "0", "192.0.2.11", "80")
    assert run_of(PerlCheck("/c"), target=V6).argv[4:] == ("[2001:db8::11]", "80", "[2001:db8::11]", "80")


def test_the_options_are_those_of_a_script():
    check = PerlCheck("/c", args=("-H{host}",), env=(("A", "b"),), user="nobody", perl="/opt/perl", output_limit=9)
    run = run_of(check, ROW)
    assert (run.argv[0], run.argv[4:]) == ("/opt/perl", ("-H2001:db8::11",))
    assert (run.user, run.output_limit) == ("nobody", 9)
    assert {"A": "b", "HEALTHD_PORT": "8443"}.items() <= dict(run.env).items()


def test_exits_mean_what_those_of_external_mean():
    check = PerlCheck("/c")
    assert passed(play(check, program(0, b"noise\nall is well\n")))
    assert play(check, program(3, b"no\n")).detail == "exit code 3: no"
    assert play(check, program(-9)).detail == "killed by signal 9"
    assert failed(play(check, program(255)), Reason.UNEXPECTED)
    assert play(check, program(126, b"no file")).outcome is Outcome.INCONCLUSIVE


def test_a_bound_one_is_a_check_of_its_row():
    bound = PerlCheck("/c").bound(ROW)
    assert isinstance(bound, Check)
    assert isinstance(bound, BoundPerl)
    assert (bound.kind, bound.needs_port) == ("perl", False)
    assert bound == PerlCheck("/c").bound(ROW) != PerlCheck("/c").bound(MARK)


# --- with the real perl ---


@pytest.fixture
async def runner() -> AsyncIterator[RunnerProcesses]:
    started = start_runner(RunnerSettings())
    yield started
    await started.close()


def write(path: Path, text: str) -> None:
    """A file that is not executable."""
    path.write_text(text)
    path.chmod(0o644)


async def asked(runner: RunnerProcesses, path: Path, text: str) -> Verdict:
    """The verdict of a file with this text."""
    installed("perl", "perl-base")
    write(path, text)
    verdict, _ = await ask(PerlCheck(str(path)).bound(ROW), V6, 20.0, runner)
    return verdict


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("print qq(@ARGV\n); exit 0;", "[2001:db8::80] 443 [2001:db8::11] 8443"),
        ("print qq(@_\n); exit(0)", "[2001:db8::80] 443 [2001:db8::11] 8443"),
        ("my ($vip, $vport, $rip, $rport) = @ARGV;\nprint qq($rip:$rport\n); # no more", "[2001:db8::11]:8443"),
        ("print shift() . qq(\n);", "[2001:db8::80]"),
        ("print qq($0\n);", None),
        ("1;", "exit code 0"),
        ("0;", "exit code 0"),
        ("return 7;", "exit code 0"),
        ("exit;", "exit code 0"),
        ("exit undef;", "exit code 0"),
        ("exit 'zero'", "exit code 0"),
        ("use strict; use warnings; eval { die 'caught' }; exit 0;", "exit code 0"),
        ("#!/bin/sh -e\nprint qq(perl\n);", "perl"),
        ("sub f { return 0 } exit f();\n__END__\nthis is no perl {{{", "exit code 0"),
        ("", "exit code 0"),
    ],
)
async def test_what_passes(runner: RunnerProcesses, tmp_path: Path, text: str, detail: str | None):
    path = tmp_path / 'a "check" {of} ours.pl'
    verdict = await asked(runner, path, text)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, detail or str(path))


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("print qq(CRITICAL: no disk\n); exit 2;", "exit code 2: CRITICAL: no disk"),
        ("exit 1 if $ARGV[3] == 8443;", "exit code 1"),
        ("exit system('sh', '-c', 'exit 1')", "exit code 1"),
        ("exit 256;", "exit code 1"),
        ("exit 512 * 3", "exit code 1"),
        ("exit -1;", "exit code 255"),
        ("exit 0.5", "exit code 1"),
        ("exit 126;", "exit code 125"),
        ("sub deep { exit 4 } eval { deep() }; exit 0", "exit code 4"),
        ("die qq(no answer\n);", "exit code 255: no answer"),
        ("\n\ndie 'no answer'", "exit code 255: no answer at NAME line 3."),
        ("no_such_function(1);", "exit code 255: Undefined subroutine &main::no_such_function called at NAME line 1."),
        ("kill 'KILL', $$; sleep 60", "killed by signal 9"),
        ("kill 'SEGV', $$; sleep 60", "killed by signal 11"),
    ],
)
async def test_what_fails(runner: RunnerProcesses, tmp_path: Path, text: str, detail: str):
    path = tmp_path / "check.pl"
    verdict = await asked(runner, path, text)
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == detail.replace("NAME", str(path))


async def test_a_file_that_perl_cannot_use_fails_nobody(runner: RunnerProcesses, tmp_path: Path):
    path = tmp_path / "check.pl"
    for text in ("if (1) {", "use strict; $undeclared = 1;", "use No::Such::Module::At::All;"):
        verdict = await asked(runner, path, text)
        assert verdict.outcome is Outcome.INCONCLUSIVE, text
        assert verdict.detail.startswith("exit code 126: ")
    for gone in (replace(PerlCheck(str(path)), command=str(tmp_path / "gone")), PerlCheck(str(path), perl="/no/perl")):
        verdict, _ = await ask(gone, V4, 20.0, runner)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "no such file" in verdict.detail.lower()


async def test_a_changed_file_counts_at_once_and_nothing_of_the_last_run_is_left(
    runner: RunnerProcesses, tmp_path: Path
):
    path = tmp_path / "check.pl"
    remembers = "our $runs; $SIG{TERM} = 'IGNORE'; exit $runs++;"
    for text, outcome in ((remembers, Outcome.PASS), (remembers, Outcome.PASS), ("exit 1", Outcome.FAIL)):
        assert (await asked(runner, path, text)).outcome is outcome
