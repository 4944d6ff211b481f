"""docs/checks.md is what the checks say of themselves and its samples load; the example of writing-a-check.md works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from healthd.check import Outcome
from healthd.config.decode import keys_of
from healthd.config.load import load
from healthd.config.options import option_keys
from healthd.config.tables import CheckTable
from healthd.registry import check_class, names
from tests.support import servers

DOCS = Path(__file__).parents[2] / "docs"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(DOCS.parent)}
SAMPLES = re.findall(r"```toml\n(\[service\.check\]\n.*?)```", (DOCS / "checks.md").read_text(), re.DOTALL)
SERVICE = '[[service]]\nname = "a"\nvirtual = "192.0.2.80:80"\n\n[[service.real]]\naddress = "10.0.0.11"\n\n'


def example(name: str) -> str:
    """A block of code of the page, by the name in the comment before it."""
    page = (DOCS / "writing-a-check.md").read_text()
    match = re.search(rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert match is not None, name
    return match[1]


def test_the_reference_is_what_the_checks_say_of_themselves():
    run = subprocess.run([sys.executable, DOCS / "generate.py", "--check"], env=ENVIRONMENT, check=False)
    assert run.returncode == 0, "run: python docs/generate.py"


def test_no_option_hides_one_that_every_check_has():
    for name in names():
        assert not option_keys(check_class(name)).keys() & keys_of(CheckTable).keys(), name


def test_there_is_a_sample_of_every_check():
    assert {tomllib.loads(sample)["service"]["check"]["type"] for sample in SAMPLES} | {"off"} >= set(names())


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_samples_load(tmp_path: Path, sample: str):
    path = tmp_path / "healthd.toml"
    path.write_text(SERVICE + sample)
    loaded = load(path, strict_files=False)
    assert [problem for problem in loaded.problems if problem.severity.value == "error"] == []
    assert loaded.config is not None
    (plan,) = loaded.config.services[0].reals[0].checks
    assert f'"{plan.check.kind}"' in sample


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The example's package as an installer would leave it; an environment that finds it."""
    (tmp_path / "healthd_nats.py").write_text(example("healthd_nats.py"))
    (tmp_path / "test_nats.py").write_text(example("test_nats.py"))
    project = tomllib.loads(example("pyproject.toml"))["project"]
    about = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(points) + "\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(DOCS.parent)))}


def test_the_examples_test_passes(installed: dict[str, str], tmp_path: Path):
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_nats.py"]
    run = subprocess.run(argv, cwd=tmp_path, env=installed, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout


def test_the_example_is_a_check_like_any_other(installed: dict[str, str]):
    hello = b'CONNECT {"verbose": true, "name": "healthd", "user": "joe", "pass": "secret"}\r\n'

    def nats(connection) -> None:
        connection.sendall(b"INFO {}\r\n")
        assert servers.line_of(connection) == hello
        connection.sendall(b"+OK\r\n")
        assert servers.line_of(connection) == b"PING\r\n"
        connection.sendall(b"PONG\r\n")

    with servers.serving(nats) as server:
        about = [f"127.0.0.1:{server.port}", "--user", "joe", "--timeout", "20s", "--trace"]
        argv = [sys.executable, "-m", "checks", "nats", *about]
        environment = installed | {"HEALTHD_PASSWORD": "secret"}
        run = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.search(r"^OK - .*: PONG \(", run.stdout, re.MULTILINE)
    assert '"pass": ***' in run.stdout + run.stderr
    assert "secret" not in run.stdout + run.stderr


def test_the_example_has_options_in_the_configuration(installed: dict[str, str], tmp_path: Path):
    path = tmp_path / "healthd.toml"
    path.write_text(SERVICE + '[service.check]\ntype = "nats"\nclient = "a b"\n')
    argv = [sys.executable, "-m", "healthd", "check-config", "-c", str(path)]
    run = subprocess.run(argv, env=installed, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "must not contain spaces, got 'a b'" in run.stdout + run.stderr


def test_the_page_names_every_outcome():
    page = (DOCS / "writing-a-check.md").read_text()
    assert all(outcome.name in page for outcome in Outcome)
