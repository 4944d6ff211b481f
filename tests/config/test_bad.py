"""Every mistake has a file in `bad/` and beside it the exact text that an operator gets; two files make a case."""

from pathlib import Path

import pytest

from healthd.config.load import load
from healthd.config.problems import Severity, as_json, render

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.stem for path in BAD.glob("*.txt"))


def target(case: str) -> Path:
    """The case is a file, or a folder with a healthd.toml; named as the operator would from its own folder."""
    return Path(case) if (BAD / case).is_dir() else Path(f"{case}.toml")


@pytest.mark.parametrize("case", CASES)
def test_the_operator_is_told(case, monkeypatch):
    monkeypatch.chdir(BAD)
    expected = (BAD / f"{case}.txt").read_text()

    loaded = load(target(case))

    assert render(loaded.problems) == expected
    assert (loaded.config is None) == any(problem.severity is Severity.ERROR for problem in loaded.problems)


def test_every_case_has_its_text():
    cases = {path.stem for path in BAD.iterdir() if path.suffix == ".toml" or path.is_dir()}

    assert cases == set(CASES)
    assert len(CASES) > 45


@pytest.mark.parametrize("case", CASES)
def test_every_place_is_inside_its_file(case, monkeypatch):
    monkeypatch.chdir(BAD)

    for problem in load(target(case)).problems:
        told = as_json(problem)
        if told["line"]:
            lines = Path(problem.file).read_bytes().decode("utf-8", "replace").split("\n")
            line = lines[told["line"] - 1].rstrip("\r")
            assert len(line) == len(told["source"])
            assert all(shown in (letter, "*") for letter, shown in zip(line, told["source"], strict=True))
            assert 1 <= told["column"] <= len(told["source"]) + 1


@pytest.mark.parametrize("case", CASES)
def test_problems_come_sorted_by_file_and_place(case, monkeypatch):
    monkeypatch.chdir(BAD)

    places = [(problem.file, problem.span.line, problem.span.column) for problem in load(target(case)).problems]

    assert places == sorted(places)
