"""Converting a file and loading the TOML gives the same model as loading the file."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from healthd import cli
from healthd.config.formats import Format, Reading
from healthd.config.ldirectord.convert import convert
from healthd.config.load import load
from healthd.config.problems import Severity, render
from healthd.config.schema import Place
from tests.config.ldirectord.writing import files

HERE = Path(__file__).parent
EDGE = json.loads((HERE / "edge.json").read_text())
SAMPLES = sorted((HERE / "samples").glob("*.cf"))
STRICTLY, FORGIVING = Reading(Format.LDIRECTORD, True), Reading(Format.LDIRECTORD)


def bare(config):
    """A configuration without the places it was read from."""
    services = []
    for service in config.services:
        reals = tuple(replace(real, place=Place()) for real in service.reals)
        services.append(replace(service, reals=reals, place=Place()))
    return replace(config, services=tuple(services), files=())


def assert_same_model(file, reading=FORGIVING):
    """Whether it was possible to compare: not if the file is not in order."""
    loaded = load(file, strict_files=False, reading=reading)
    converted = convert(file, strict=reading.strict)
    if loaded.config is None:
        assert converted.text is None
        return False
    toml = file.with_suffix(".toml")
    toml.write_text(converted.text)
    again = load(toml, strict_files=False)
    assert again.config is not None, render(again.problems) + converted.text
    assert bare(again.config) == bare(loaded.config), converted.text
    return True


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_means_the_same_once_converted(sample, tmp_path):
    for other in SAMPLES:
        (tmp_path / other.name).write_bytes(other.read_bytes())

    assert assert_same_model(tmp_path / sample.name)


@pytest.mark.parametrize("reading", [STRICTLY, FORGIVING], ids=["strict", "forgiving"])
@pytest.mark.parametrize("name", sorted(EDGE))
def test_a_recorded_case_means_the_same_once_converted(name, reading, tmp_path):
    file = tmp_path / f"{name}.cf"
    file.write_bytes(EDGE[name]["text"].encode())

    assert_same_model(file, reading)


@pytest.mark.parametrize("reading", [STRICTLY, FORGIVING], ids=["strict", "forgiving"])
def test_a_generated_file_means_the_same_once_converted(reading):
    compared = []

    @settings(max_examples=100)
    @given(files(nasty=1))
    def compare(text):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "test.cf"
            file.write_bytes(text.encode())
            if assert_same_model(file, reading):
                compared.append(text)

    compare()
    assert len(compared) > 10


def test_comments_stay_with_what_they_belong_to(tmp_path):
    file = tmp_path / "a.cf"
    file.write_text(
        "# about all\ncheckinterval=5 # often\n\n# the shop\nvirtual=10.0.0.1:80\n    # the old one\n"
        "    real=10.0.0.2:80 gate # slow\n    real=10.0.0.3:80 gate\n    service=http # for now\n# the end\n"
    )

    lines = convert(file).text.splitlines()

    assert lines.index("# about all") < lines.index("# often") < lines.index("include = []")
    at = lines.index("[[service]]")
    assert lines[at - 2 : at] == ["# the shop", "# for now"]
    first = lines.index("[[service.real]]")
    assert lines[first - 2 : first] == ["# the old one", "# slow"]
    assert "# the end" in lines


def test_what_changes_meaning_is_told_in_the_text(tmp_path):
    file = tmp_path / "a.cf"
    file.write_text("fork=yes\nquiescent=no # c\nvirtual=10.0.0.1:80\n    real=10.0.0.2:81 gate\n")

    text = convert(file).text

    assert "line 1: fork: probes are parallel anyway" in text
    assert "line 2: stock ldirectord would refuse this line: quiescent must be 'yes' or 'no'" in text
    assert "line 4: gate cannot change the port: only probes go to port 81" in text


def test_a_server_that_was_named_keeps_its_name_as_a_comment(tmp_path):
    file = tmp_path / "a.cf"
    file.write_text("virtual=10.0.0.1:80\n    real=localhost:80 masq\n    service=none\n")

    assert "# real=localhost:80 masq\n[[service.real]]" in convert(file).text


def test_the_command_prints_toml(tmp_path, capsys):
    file = tmp_path / "a.cf"
    file.write_text("virtual=10.0.0.1:80\n    real=10.0.0.2:80 gate\n")

    assert cli.main(["convert", str(file)]) == 0
    assert capsys.readouterr().out == convert(file).text


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    file = tmp_path / "a.cf"
    file.write_text("virtual=10.0.0.1:80\n    real=10.0.0.2:80 dr\n")

    assert cli.main(["convert", str(file)]) == 78
    told = capsys.readouterr()
    assert told.out == ""
    assert "a.cf:2:10: error: forward method must be gate, masq or ipip" in told.err


def test_converting_tells_warnings_in_its_text_only(tmp_path):
    file = tmp_path / "a.cf"
    file.write_text("virtual=10.0.0.1\n    real=10.0.0.2 gate\n")

    found = convert(file)

    (warning,) = [problem for problem in found.problems if problem.severity is Severity.WARNING]
    assert warning.text in found.text
