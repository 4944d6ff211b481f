"""The script check by transcripts: how the program is called, and what its exit code and last line mean."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.script import ScriptCheck
from healthd.check import Binding, Inconclusive, Outcome, Reason, Run, Target
from tests.checks.harness import V4, V6, Channel, Player, failed, play, program

CHECK = ScriptCheck("/usr/lib/check")
MARK = Binding("web", "7", 0, ip_address("192.0.2.11"), 80)
SIX = Binding("web", "2001:db8::80", 443, ip_address("2001:db8::11"), 8443)


def run_of(check: ScriptCheck, binding: Binding | None = None, target: Target = V4) -> Run:
    player = Player([program(0)])
    player.play(check if binding is None else check.bound(binding), target)
    (step,) = player.steps
    assert isinstance(step, Run)
    return step


def test_it_is_called_as_ldirectord_calls_its_external_checks():
    assert run_of(CHECK, MARK).argv == ("/usr/lib/check", "7", "0", "192.0.2.11", "80")
    assert run_of(CHECK, SIX).argv == ("/usr/lib/check", "[2001:db8::80]", "443", "[2001:db8::11]", "8443")
    bracketed = replace(SIX, virtual="[2001:db8::80]")
    assert run_of(CHECK, bracketed).argv == run_of(CHECK, SIX).argv


def test_arguments_are_filled_in():
    check = replace(CHECK, args=("-H{host}", "{{x}}", "{service}:{port}", "", "{address}/{virtual}"))
    assert run_of(check, SIX).argv[1:] == ("-H2001:db8::11", "{x}", "web:8443", "", "[2001:db8::11]/[2001:db8::80]")


def test_what_is_filled_in_is_not_filled_in_again():
    check = replace(CHECK, args=("{service}",))
    assert run_of(check, replace(MARK, service="{port}")).argv[1:] == ("{port}",)


def test_the_environment_says_the_same_and_where_the_probe_goes():
    target = Target(
        ip_address("2001:db8::99"), 9, source=ip_address("2001:db8::1"), interface="eth0", mark=5, netns="x"
    )
    run = run_of(replace(CHECK, env=(("LANG", "C"),), user="nobody", output_limit=10), SIX, target)
    assert dict(run.env) == {
        "LANG": "C",
        "HEALTHD_SERVICE": "web",
        "HEALTHD_VIRTUAL": "2001:db8::80",
        "HEALTHD_VIRTUAL_PORT": "443",
        "HEALTHD_ADDRESS": "2001:db8::11",
        "HEALTHD_PORT": "8443",
        "HEALTHD_TARGET_ADDRESS": "2001:db8::99",
        "HEALTHD_TARGET_PORT": "9",
        "HEALTHD_SOURCE": "2001:db8::1",
        "HEALTHD_INTERFACE": "eth0",
        "HEALTHD_MARK": "5",
    }
    assert (run.user, run.netns, run.output_limit) == ("nobody", "x", 10)


def test_without_a_service_the_target_stands_for_both():
    assert run_of(CHECK, target=V6).argv[1:] == ("[2001:db8::11]", "80", "[2001:db8::11]", "80")


@pytest.mark.parametrize(
    ("output", "detail"),
    [
        (b"", "exit code 0"),
        (b"one\nall is well\n", "all is well"),
        (b"one\n\n  two  \r\n\n \n", "two"),
        (b"\xff\x00", "\\xff\\x00"),
        (b"x" * 500, "x" * 197 + "..."),
    ],
)
def test_the_last_line_that_says_something_is_the_detail(output: bytes, detail: str):
    verdict = play(CHECK, program(0, output))
    assert (verdict.outcome, verdict.weight) == (Outcome.PASS, None)
    assert verdict.detail == detail


def test_other_exit_codes_fail_and_are_told():
    assert play(CHECK, program(2, b"CRITICAL: no disk\n")).detail == "exit code 2: CRITICAL: no disk"
    assert failed(play(CHECK, program(127)), Reason.UNEXPECTED)


def test_death_by_a_signal_fails_and_is_told():
    verdict = play(CHECK, program(-11, b"working\n"))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "killed by signal 11: working"


def test_the_codes_that_pass_and_those_that_say_nothing_are_options():
    check = replace(CHECK, pass_codes=("0-1", "7"), inconclusive_codes=("3",))
    outcomes = {code: play(check, program(code, b"hm")).outcome for code in (0, 1, 2, 3, 7)}
    assert [code for code in outcomes if outcomes[code] is Outcome.PASS] == [0, 1, 7]
    assert outcomes[2] is Outcome.FAIL
    assert play(check, program(3, b"hm")).detail == "exit code 3: hm"
    assert outcomes[3] is Outcome.INCONCLUSIVE


def test_a_program_that_cannot_be_started_fails_nobody():
    gone = Channel([], Inconclusive("cannot run /usr/lib/check: no such file"))
    assert play(CHECK, gone).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("code", "weight"), [(0, None), (2, 0), (102, 100), (255, 253)])
def test_the_exit_code_may_be_a_weight(code: int, weight: int | None):
    verdict = play(replace(CHECK, weight="exit-code"), program(code))
    assert (verdict.outcome, verdict.weight) == (Outcome.PASS, weight)


def test_exit_code_1_fails_beside_weights():
    assert failed(play(replace(CHECK, weight="exit-code"), program(1)), Reason.UNEXPECTED)
    doubtful = replace(CHECK, weight="exit-code", inconclusive_codes=("3",))
    assert play(doubtful, program(3)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("line", "weight"),
    [
        ("weight=0", 0),
        ("load 0.3 weight=65535 fine", 65535),
        ("fine", None),
        ("overweight=3", None),
        ("weight=3x", None),
    ],
)
def test_the_last_line_may_name_a_weight(line: str, weight: int | None):
    verdict = play(replace(CHECK, weight="output"), program(0, f"weight=1\n{line}\n".encode()))
    assert (verdict.outcome, verdict.weight) == (Outcome.PASS, weight)
    assert play(CHECK, program(0, line.encode())).weight is None


@pytest.mark.parametrize("line", ["weight=65536", "weight=-1"])
def test_a_weight_that_is_none_says_nothing_about_the_server(line: str):
    assert play(replace(CHECK, weight="output"), program(0, line.encode())).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight": "exit-code", "pass_codes": ("0", "1")}, "exclude each other"),
        ({"inconclusive_codes": ("0",)}, "both name 0"),
        ({"pass_codes": ("256",)}, "not within 0-255"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        ScriptCheck("/bin/x", **options)  # type: ignore[arg-type]


@given(st.integers(-64, 255), st.binary(max_size=60), st.sampled_from(["configured", "exit-code", "output"]))
def test_any_output_gives_a_verdict(status: int, output: bytes, weight: str):
    play(replace(CHECK, weight=weight), program(status, output))
