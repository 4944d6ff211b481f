"""Options of a check are fields of its class: every type that `option` allows, and what is said of a wrong value."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
import tomli

from healthd.check import REQUIRED, Tls, option
from healthd.config.decode import At, Report, Told, decode
from healthd.config.options import Unsupported, construct, kind_of, option_keys
from healthd.config.source import parse

BYTES = 'data: expected a text, or { hex = "00ff" }, or { base64 = "..." }, found a table'


def _even(number):
    if number % 2:
        raise ValueError(f"must be even, got {number}")
    return number // 2


@dataclass(frozen=True, slots=True)
class Everything:
    """One option of every type."""

    text: str = option(REQUIRED, "a text")
    maybe: str | None = option(None, "a text or nothing")
    count: int = option(0, "a number", rule=_even)
    share: float = option(0.5, "a fraction")
    flag: bool = option(False, "yes or no")
    data: bytes = option(b"\r\n", "bytes")
    word: Literal["a", "b"] = option("a", "one of two words")
    size: Literal[1, 2] = option(1, "one of two numbers")
    words: tuple[str, ...] = option(("x", "y"), "several texts")
    table: tuple[tuple[str, str], ...] = option((), "a table")
    tls: Tls | None = option(None, "TLS")
    token: str = option("", "a secret", secret=True, rule=lambda text: text)
    prepared: Any = None

    def __post_init__(self):
        """Options that do not go together."""
        if self.flag and self.maybe:
            raise ValueError("maybe and flag exclude each other")
        if self.text == "bad":
            raise ValueError("nothing goes with that")


def read(text):
    """The check that a table makes, and what is wrong with it."""
    source, report = parse("x.toml", text.encode()), Report()
    at = At(source)
    layer = decode(option_keys(Everything), source.tree, at, report)
    try:
        return None if report.failed else construct(Everything, layer, report), report.problems()
    except Told:
        return None, report.problems()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('maybe = "m"', {"maybe": "m"}),
        ("count = 4", {"count": 2}),
        ("share = 1", {"share": 1.0}),
        ("flag = true", {"flag": True}),
        ('data = "ä"', {"data": b"\xc3\xa4"}),
        ('data = { hex = "00 ff" }', {"data": b"\x00\xff"}),
        ('data = { base64 = "AP8=" }', {"data": b"\x00\xff"}),
        ('word = "b"', {"word": "b"}),
        ("size = 2", {"size": 2}),
        ('words = ["a", "b"]', {"words": ("a", "b")}),
        ('words = "a"', {"words": ("a",)}),
        ("words = [200, 301]", {"words": ("200", "301")}),
        ("words = []", {"words": ()}),
        ('table = { B = "1", A = "2" }', {"table": (("B", "1"), ("A", "2"))}),
        ("tls = true", {"tls": Tls()}),
        ("tls = false", {"tls": None}),
        ('tls = { verify = false, alpn = "h2" }', {"tls": Tls(verify=False, alpn=("h2",))}),
    ],
)
def test_a_value_of_each_type(text, expected):
    assert read(f'text = "t"\n{text}') == (Everything(text="t", **expected), ())


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("maybe = 1", 9, "maybe: expected a text, found 1"),
        ("count = 3", 9, "count: must be even, got 3"),
        ("count = 2.0", 9, "count: expected a whole number, found 2.0"),
        ("count = true", 9, "count: expected a whole number, found true"),
        ("share = nan", 9, "share: expected a number, found nan"),
        ("flag = 1", 8, "flag: expected true or false, found 1"),
        ('data = { hex = "0" }', 8, f"{BYTES}: these are not pairs of hex digits"),
        ('data = { base64 = "?" }', 8, f"{BYTES}: this is not base64"),
        ('data = { octal = "0" }', 8, BYTES),
        ('word = "c"', 8, 'word: expected "a" or "b", found "c"'),
        ("size = true", 8, "size: expected one of 1, 2, found true"),
        ('words = ["a", [], "b"]', 15, "words: expected a text, found an empty array"),
        ("words = {}", 9, "words: expected a text or a list of texts, found a table"),
        ("table = { A = 1 }", 15, "A: expected a text, found 1"),
        ("table = []", 9, "table: expected a table of texts, found an empty array"),
        ('tls = "yes"', 7, 'tls: expected true, false or a table of TLS options, found "yes"'),
        ('tls = { key_file = "/k" }', 20, "key_file needs cert_file"),
        ("token = 12345", 9, 'token: expected a text, or { file = "/path/of/a/file" }'),
        ('flag = true\nmaybe = "m"', 9, "maybe and flag exclude each other"),
    ],
)
def test_what_is_said_of_a_wrong_value_and_where(text, column, told):
    check, (problem,) = read(f'text = "t"\n{text}')

    assert check is None
    assert (problem.text, problem.span.column) == (told, column)


def test_an_error_that_names_no_option_is_placed_at_the_table():
    source, report = parse("x.toml", b'a = 1\n[check]\ntext = "bad"\n'), Report()
    layer = decode(option_keys(Everything), source.tree["check"], At(source) / "check", report)

    with pytest.raises(Told):
        construct(Everything, layer, report)

    (problem,) = report.problems()
    assert (problem.text, problem.span.line, problem.source) == ("nothing goes with that", 2, "[check]")


def test_fields_that_are_no_options_are_no_keys():
    assert "prepared" not in option_keys(Everything)


def test_defaults_are_shown_as_the_configuration_writes_them():
    shown = {name: key.shown for name, key in option_keys(Everything).items()}

    assert shown == {
        "text": None,
        "maybe": None,
        "count": "0",
        "share": "0.5",
        "flag": "false",
        "data": '"\\r\\n"',
        "word": '"a"',
        "size": "1",
        "words": '["x", "y"]',
        "table": "{}",
        "tls": None,
        "token": '""',
    }
    assert all(text is None or tomli.loads(f"x = {text}") for text in shown.values())


@pytest.mark.parametrize("hint", [complex, int | str, list[str], dict[str, str], tuple[int, ...]])
def test_other_types_are_refused(hint):
    with pytest.raises(Unsupported):
        kind_of(hint)
