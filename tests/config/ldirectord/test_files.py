"""Files that belong together or to the machine: those that are executed, programs of checks, and the samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthd import cli
from healthd.config.formats import Reading
from healthd.config.load import load
from healthd.config.problems import Severity, render
from tests.config.ldirectord.test_loading import WWW, loaded, texts

SAMPLES = Path(__file__).parent / "samples"

WARNED = {
    "cluster.cf": [
        (16, "execute: not-yet.cf"),
        (38, "command: /usr/local/bin/gone-from-here.sh does not exist"),
        (39, "scheduler: 'leastconn'"),
    ],
    "ipv6.cf": [(4, "stock ldirectord forgets")],
    "mail.cf": [(24, "service: the greeting is looked at")],
    "office.cf": [(1, "lines end with CR LF"), (1, "not UTF-8 text")],
    "tutorial.cf": [(8, "stock ldirectord wants 4 blanks"), (9, '"-w" says nothing')],
    "web.cf": [(6, "logfile: the file that executes this one")],
    "dns.cf": [],
    "voice.cf": [],
}


@pytest.mark.parametrize("name", ["cluster.cf", "dns.cf", "ipv6.cf", "office.cf", "tutorial.cf", "voice.cf"])
def test_a_sample_is_loaded_with_the_warnings_that_it_needs(name):
    """As at a start: programs that it names are looked for. The first one executes two others."""
    found = load(SAMPLES / name)

    assert found.config is not None, render(found.problems)
    files = sorted(Path(file).name for file in found.config.files)
    expected = [(file, line) for file in files for line, _ in WARNED[file]]
    assert [(Path(problem.file).name, problem.span.line) for problem in found.problems] == expected
    starts = [start for file in files for _, start in WARNED[file]]
    assert all(problem.text.startswith(start) for problem, start in zip(found.problems, starts, strict=True))


@pytest.mark.parametrize("kind", ["external", "external-perl"])
def test_a_program_that_is_missing_does_not_stop_the_rest(tmp_path, kind):
    file = tmp_path / "test.cf"
    file.write_text(WWW + f"    checktype={kind}\n    checkcommand={tmp_path}/gone\n")

    found = load(file)

    assert len(found.config.services[0].reals[0].checks) == 1
    assert texts(found) == [
        (4, f"command: {tmp_path}/gone does not exist; servers stay as they are until it can be used")
    ]


def test_a_file_that_is_executed_keeps_its_own_globals(tmp_path):
    (tmp_path / "other.cf").write_text(
        'checkinterval=3\nemailalert=c@example.org\nlogfile="local0"\nvirtual=192.0.2.81:80\n'
        "    real=10.0.0.12:80 gate\n"
    )
    text = f"checkinterval=9\nemailalert=a@example.org\nmaintenancedir=/tmp\nexecute={tmp_path}/other.cf\n{WWW}"

    found = loaded(tmp_path, text)
    first, second = found.config.services

    assert [one.reals[0].checks[0].cadence.interval for one in (first, second)] == [9.0, 3.0]
    assert (first.mail.to, second.mail.to) == (("a@example.org",), ("c@example.org",))
    assert (first.maintenance, second.maintenance) == (Path("/tmp"), None)
    assert [Path(file).name for file in found.config.files] == ["test.cf", "other.cf"]
    assert [text for _, text in texts(found)] == [
        "logfile: the file that executes this one says it for the whole daemon"
    ]


@pytest.mark.parametrize("reading", [Reading(), Reading(strict=True)], ids=["forgiving", "strict"])
def test_at_a_start_the_rest_runs_without_a_file_to_execute_that_is_not_there(tmp_path, reading):
    found = loaded(tmp_path, f"# c\nexecute=gone.cf\n{WWW}", reading=reading)

    ((line, text),) = texts(found)
    assert line == 2
    assert text.startswith("execute: gone.cf cannot be found")
    assert "make it and reload, or remove this line" in text
    assert len(found.config.services) == 1


def test_check_config_warns_of_a_file_to_execute_that_is_not_there(tmp_path, capsys):
    file = tmp_path / "test.cf"
    file.write_text(f"execute=gone.cf\n{WWW}")

    assert cli.main(["check-config", "-c", str(file)]) == 0
    told = capsys.readouterr().out
    assert "test.cf:1:9: warning: execute: gone.cf cannot be found" in told
    assert "ok: services 1, real servers 1, files 1" in told


@pytest.mark.parametrize("reading", [Reading(), Reading(strict=True)], ids=["forgiving", "strict"])
def test_at_a_reload_a_file_that_was_executed_may_not_be_gone(tmp_path, reading):
    other = tmp_path / "other.cf"
    other.write_text(WWW.replace("80", "81"))
    text = f"execute=other.cf\nexecute=never.cf\n{WWW}"
    running = loaded(tmp_path, text, reading=reading).config.files
    other.unlink()

    found = loaded(tmp_path, text, reading=reading, running=running)

    ((line, said),) = texts(found, Severity.ERROR)
    assert line == 1
    assert "is part of the running configuration and cannot be found now" in said
    assert [line for line, _ in texts(found)] == [2]
    assert loaded(tmp_path, WWW, reading=reading, running=running).config is not None


def test_a_file_that_is_executed_twice_or_by_itself_is_read_once(tmp_path):
    (tmp_path / "other.cf").write_text("execute=test.cf\n" + WWW.replace("80", "81"))

    found = loaded(tmp_path, f'execute=other.cf\nexecute="other.cf"\n{WWW}')

    assert len(found.config.services) == 2
    assert [text for _, text in texts(found)] == [
        "execute: test.cf is read already, so this line says nothing",
        "execute: other.cf is read already, so this line says nothing",
    ]


def test_a_mistake_in_a_file_that_is_executed_is_an_error(tmp_path):
    (tmp_path / "other.cf").write_text("nonsense\n")

    found = loaded(tmp_path, f"execute=other.cf\n{WWW}")

    assert found.config is None
    assert [(Path(problem.file).name, problem.span.line) for problem in found.problems] == [("other.cf", 1)]


def test_a_duplicate_in_a_file_that_is_executed_is_told(tmp_path):
    (tmp_path / "other.cf").write_text(WWW)

    found = loaded(tmp_path, f"execute=other.cf\n{WWW}")

    ((_, text),) = texts(found, Severity.ERROR)
    assert "is declared already" in text
