"""Any text is a configuration or a list of errors, never an exception; and every problem can be shown."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.config.formats import Format, Reading
from healthd.config.ldirectord.convert import convert
from healthd.config.load import load
from healthd.config.problems import Severity, render
from tests.config.ldirectord.writing import files

ANY = st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))


@st.composite
def spoilt(draw):
    """A file with something put into it anywhere."""
    text = draw(files(nasty=20))
    at = draw(st.integers(0, len(text)))
    return (text[:at] + draw(st.text(max_size=6)) + text[at:]).encode("utf-8", "surrogatepass")


@settings(max_examples=150)
@given(spoilt() | ANY, st.booleans())
def test_any_file_is_a_configuration_or_a_list_of_errors(data, strict):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test.cf"
        file.write_bytes(data)
        loaded = load(file, strict_files=False, reading=Reading(Format.LDIRECTORD, strict))
        converted = convert(file, strict=strict)

    errors = [problem for problem in loaded.problems if problem.severity is Severity.ERROR]
    assert (loaded.config is None) == bool(errors) == (converted.text is None)
    render(loaded.problems)
    lines = data.count(b"\n") + 1
    assert all(0 <= problem.span.line <= lines for problem in loaded.problems)


@settings(max_examples=100)
@given(spoilt() | ANY)
def test_every_line_is_either_taken_alike_or_told(data):
    """A file that strict and forgiving reading take in different ways has a warning."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test.cf"
        file.write_bytes(data)
        strict = load(file, strict_files=False, reading=Reading(Format.LDIRECTORD, True))
        forgiving = load(file, strict_files=False, reading=Reading(Format.LDIRECTORD))

    if forgiving.problems == ():
        assert strict.config == forgiving.config
