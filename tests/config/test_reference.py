"""The reference says what the code does, and the examples of the documentation load."""

import re
from pathlib import Path

import pytest
import tomli

from healthd import registry
from healthd.config.decode import At, Report, field_of, keys_of
from healthd.config.load import load
from healthd.config.options import option_keys
from healthd.config.problems import Severity
from healthd.config.reference import renewed
from healthd.config.settings import REPEATED, SINGLE
from healthd.config.source import Source
from healthd.config.tables import CheckTable, FallbackTable, PersistentTable, RealTable, ServiceTable, TunnelTable

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
TABLES = [ServiceTable, RealTable, CheckTable, FallbackTable, PersistentTable, TunnelTable]
TABLES += [*SINGLE.values(), *REPEATED.values()]
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


def test_the_reference_in_the_documentation_is_current():
    text = DOCUMENT.read_text()

    assert renewed(text) == text, "run: python -m healthd.config.reference docs/configuration.md"


@pytest.mark.parametrize("table", TABLES)
def test_defaults_shown_are_defaults_used(table):
    nowhere = At(Source("", "", {}))
    for name, key in keys_of(table).items():
        if key.shown is not None:
            value = tomli.loads(f"x = {key.shown}")["x"]
            default = table.__dataclass_fields__[field_of(name)].default
            assert key.kind.take(value, nowhere, Report()) == default


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_no_option_of_a_check_is_hidden_by_a_key_that_every_check_has(kind):
    try:
        cls = registry.check_class(kind)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed")

    assert option_keys(cls).keys() & keys_of(CheckTable).keys() == set()


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_defaults_of_options_can_be_written(kind):
    try:
        cls = registry.check_class(kind)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed")
    nowhere = At(Source("", "", {}))
    for name, key in option_keys(cls).items():
        if key.shown is not None:
            value = tomli.loads(f"x = {key.shown}")["x"]
            assert key.kind.take(value, nowhere, Report()) == cls.__dataclass_fields__[name].default


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_loads(text, tmp_path):
    file = tmp_path / "example.toml"
    file.write_text(text)

    assert load(file, strict_files=False).problems == ()


def test_the_problems_shown_are_those_told(tmp_path, monkeypatch):
    (shown,) = re.findall(r"^```\n(services\.d/www.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("services.d").mkdir()
    lines = {4: 'forward = "gatee"', 6: "[[service.real]]", 7: 'address = "10.0.0.11"', 12: 'interval = "2s"'}
    lines |= {1: "[[service]]", 2: 'name = "www"', 3: 'virtual = "192.0.2.80:80"', 8: "check = []"}
    Path("services.d/www.toml").write_text("\n".join(lines.get(number, "") for number in range(1, 13)) + "\n")

    problems = load(Path("services.d/www.toml")).problems

    for problem in problems:
        if problem.severity is Severity.ERROR:
            assert str(problem).partition(";")[0] in shown
