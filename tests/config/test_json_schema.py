"""The JSON Schema for editors: it never refuses what healthd takes, and it marks what is wrong in form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import chain
from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from healthd import registry
from healthd.check import Tls
from healthd.config.decode import At, Key, Report, Told, keys_of
from healthd.config.hooks import WebhookTable
from healthd.config.json_schema import as_text, schema
from healthd.config.ldirectord.convert import convert
from healthd.config.load import load
from healthd.config.options import option_keys
from healthd.config.problems import Severity
from healthd.config.settings import REPEATED, SINGLE, TimeoutsTable
from healthd.config.source import Source
from healthd.config.tables import CheckTable, FallbackTable, PersistentTable, RealTable, ServiceTable, TunnelTable

ROOT = Path(__file__).parents[2]
BAD = Path(__file__).parent / "bad"
SHIPPED = ROOT / "packaging" / "share" / "healthd" / "healthd.schema.json"
VALIDATOR = Draft7Validator(schema())
DEFINITIONS = schema()["definitions"]
SAMPLES = [ROOT / "etc" / "healthd.toml", *sorted((ROOT / "etc" / "services.d").glob("*.toml"))]
CONVERTED = sorted((Path(__file__).parent / "ldirectord" / "samples").glob("*.cf"))
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "configuration.md").read_text(), re.M | re.S)

OF_FORM = re.compile(
    r"error: (?:unknown key|key '|[\w.]+: expected (?:a table|true or false|one of|an array|a whole number|a number|"
    r"a duration|tables|a text or a list|an absolute path|\"))"
)
"""Mistakes that a schema can see: names of keys, keys that are missing, types, ranges, words of a closed list."""

TABLES = [ServiceTable, RealTable, CheckTable, FallbackTable, PersistentTable, TunnelTable, TimeoutsTable, WebhookTable]
TABLES += [*SINGLE.values(), *REPEATED.values()]
DECODED_LATER = {"check", "real", "mail"}
"""Keys whose tables are decoded by what they belong to; the samples and the examples have them."""


def keys() -> Iterator[tuple[str, Key]]:
    """Every key of every table and of every check, with a name for it."""
    of_tables = ((table.__name__, keys_of(table)) for table in TABLES)
    of_checks = ((name, option_keys(registry.check_class(name))) for name in registry.BUILT_IN)
    for where, found in chain(of_tables, of_checks, [("tls", option_keys(Tls))]):
        yield from ((f"{where}.{name}", key) for name, key in found.items() if name not in DECODED_LATER)


def takes(key: Key, value: object) -> bool:
    """Whether healthd takes a value."""
    try:
        key.kind.take(value, At(Source("", "", {})), Report(strict_files=False))
    except (Told, ValueError):
        return False
    return True


KEYS = list(keys())
TEXTS = (
    "", "x", "0", "1", "80", "tcp", "ipip", "gue", "5s", "500ms", "1h30m", "10.0.0.11", "10.0.0.11:80",
    "[2001:db8::1]:80", "10.0.0.11-10.0.0.20", "224.0.0.81", "fe80::1", "255.255.255.0", "/etc/passwd", "/run/x.sock",
    "eth0", "root", "wlc",
    "a@example.org", "Jürgen <j@example.org>", "mail.example.org:25", "https://example.org/x", "stderr", "server-down",
    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "200-299", "GET", "drained", "$2y", "(", "ü", "line\nbreak",
)  # fmt: skip
TABLES_OF_VALUES = (
    {}, {"timeout": "5m"}, {"type": "gue", "port": 6080}, {"address": "10.0.0.99"}, {"hex": "00ff"}, {"base64": "AA=="},
    {"X-Team": "web"}, {"verify": False}, {"tcp": 5}, {"unheard": "of"},
)  # fmt: skip
WORDS = {word for _, key in KEYS for word in key.kind.choices}
ONE = st.one_of(
    st.booleans(),
    st.integers(-5, 300),
    st.sampled_from([3600, 65535, 65536, 2**31, 2**32, 10**7, 10**30]),
    st.floats(-1, 1e9),
    st.sampled_from([*TEXTS, *sorted(WORDS)]),
    st.text(max_size=20),
    st.sampled_from(TABLES_OF_VALUES),
    st.just(date(2026, 1, 1)),
)
VALUES = st.one_of(ONE, st.lists(ONE, max_size=3))


KINDS = {f"{key.kind.expects}: {key.kind.schema}": (name, key) for name, key in KEYS}
"""One key of each kind; what a check's own rule says of a value only takes less."""


@pytest.mark.parametrize(("name", "key"), KINDS.values(), ids=[name for name, _ in KINDS.values()])
def test_what_healthd_takes_for_a_key_the_schema_takes(name, key):
    validator = Draft7Validator({**key.kind.schema, "definitions": DEFINITIONS})

    @settings(max_examples=50)
    @given(VALUES)
    def check(value):
        if takes(key, value):
            assert validator.is_valid(value), (name, value)

    check()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_valid(path):
    assert told(tomli.loads(path.read_text())) == []


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_of_the_documentation_is_valid(text):
    assert told(tomli.loads(text)) == []


@pytest.mark.parametrize("path", CONVERTED, ids=lambda path: path.name)
def test_an_ldirectord_cf_that_was_converted_is_valid(path):
    text = convert(path).text

    assert text is not None
    assert told(tomli.loads(text)) == []


def told(tree: object) -> list[str]:
    return [f"{list(error.path)}: {error.message}" for error in VALIDATOR.iter_errors(tree)]


def trees() -> Iterator[tuple[str, object, bool, str]]:
    """The golden configurations of one file: name, tree, whether healthd takes it, what it says."""
    for path in sorted(BAD.glob("*.toml")):
        problems = load(path, strict_files=False).problems
        try:
            tree = tomli.loads(path.read_text())
        except (ValueError, RecursionError):
            continue
        wrong = any(problem.severity is Severity.ERROR for problem in problems)
        yield path.stem, tree, not wrong, "\n".join(map(str, problems))


GOLDEN = list(trees())
GOOD = [(name, tree) for name, tree, good, _ in GOLDEN if good]
OF_THE_FORM = [(name, tree) for name, tree, good, text in GOLDEN if not good and OF_FORM.search(text)]
NOT_SEEN = {
    "fwmark-check-without-port",
}
"""Mistakes of form that the schema does not see: one key that another one makes necessary."""


@pytest.mark.parametrize(("name", "tree"), GOOD, ids=[name for name, _ in GOOD])
def test_what_healthd_only_warns_of_is_valid(name, tree):
    assert told(tree) == []


@pytest.mark.parametrize(("name", "tree"), OF_THE_FORM, ids=[name for name, _ in OF_THE_FORM])
def test_a_mistake_of_form_is_marked(name, tree):
    assert (told(tree) == []) is (name in NOT_SEEN)


def test_there_are_many_of_each():
    assert len(GOOD) >= 5
    assert len(OF_THE_FORM) >= 35


def test_the_schema_is_one_and_the_shipped_one_is_current():
    Draft7Validator.check_schema(schema())
    assert SHIPPED.read_text() == as_text(), "run: python packaging/reference"


def test_a_check_of_another_package_is_in_the_schema_that_is_printed_there():
    assert "http" in schema(["http"])["definitions"]["check"]["anyOf"][0]["properties"]["type"]["enum"]
    assert len(schema(["http", "tcp"])["definitions"]["check"]["anyOf"]) == 2


@pytest.mark.parametrize(
    ("where", "name"),
    [(table.__name__, name) for table in TABLES for name, key in keys_of(table).items() if not key.kind.schema],
)
def test_every_key_says_its_form(where, name):
    assert name in DECODED_LATER, f"the kind of {where}.{name} has no schema: give it one of healthd.config.shape"
