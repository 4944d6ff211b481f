"""Places of keys and values are those of the file, however it is written; the parser is the oracle."""

import datetime

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.config.positions import positions
from healthd.config.problems import Span
from tests.config.writing import quoted, written

STRANGE = '''
# a comment with [brackets] and = signs
title = "TOML \\" # not a comment ] }"
a.b . "c.d" = 1
[owner] # trailing
dob = 1979-05-27 07:32:00-08:00
"quoted key" = 'literal # ]'
[servers.'x y']
ip = [ [ 1, 2 ], # one
       ["a", """b "quoted" ]
 more"""], ]
[[fruit]]
name = """ends with quotes"""""
  [fruit.physical]
  colour = { r = 1, "g" = [1, { b = 2 }], }
  [[fruit.variety]]
  name = \'\'\'it's\'\'\'
  [[fruit.variety]]
  [fruit.variety.sub]
  when = 10:30:00
[[fruit]]
name = "b\\u0061nana"
[[fruit.variety]]
inf = -inf
multi = {
  one = 1, # comment
  two.three = "x\\e",
}
'''


def paths(tree, path=()):
    """Every path of a tree, tables and arrays included."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, value in items:
        yield (*path, step)
        yield from paths(value, (*path, step))


def value_at(tree, path):
    for step in path:
        tree = tree[step]
    return tree


def assert_places_are_right(text):
    tree, found = tomli.loads(text), positions(text)
    for path in paths(tree):
        if path not in found.values:
            assert path in found.keys, "only the first parts of a dotted key have no value of their own"
            continue
        start, end = found.values[path]
        value = value_at(tree, path)
        if found.keys.get(path) != (start, end):
            assert tomli.loads(f"x = {text[start:end]}")["x"] == value
        else:
            assert text[start:end].startswith("["), "only a table's header is its key and its value at once"
        if isinstance(path[-1], str):
            start, end = found.keys[path]
            told = text[start:end].strip("[]")
            assert path[-1] in told or "\\" in told


def test_every_path_of_a_strangely_written_file_is_found():
    assert_places_are_right(STRANGE)


@pytest.mark.parametrize(
    ("path", "key", "line", "column"),
    [
        (("title",), True, 3, 1),
        (("title",), False, 3, 9),
        (("a", "b", "c.d"), True, 4, 7),
        (("fruit", 0, "variety", 1, "sub", "when"), False, 20, 10),
        (("fruit", 1, "name"), False, 22, 8),
        (("fruit", 0, "physical", "colour", "g", 1, "b"), False, 15, 37),
        (("fruit", 1, "variety", 0, "multi", "two", "three"), False, 27, 15),
    ],
)
def test_a_place_is_line_and_column(path, key, line, column):
    span = positions(STRANGE).span(path, key=key)

    assert (span.line, span.column) == (line, column)


def test_what_stands_nowhere_is_placed_at_what_is_around_it():
    found = positions("[a]\nb = { c = 1 }\n")

    assert found.span(("a", "b", "missing", 3)) == Span(2, 5, 9)
    assert found.span(("a", "missing"), key=True) == Span(1, 1, 3)
    assert found.span(("missing",)) == Span()


def test_a_span_never_leaves_its_line():
    assert positions('a = """\nlong\ntext"""\n').span(("a",)) == Span(1, 5, 3)


KEYS = st.one_of(
    st.sampled_from(["service", "real", "a", "b"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=4),
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8),
    st.dates(datetime.date(1900, 1, 1)),
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)


@st.composite
def documents(draw):
    lines = []
    for key, value in draw(st.dictionaries(KEYS, TREES, max_size=3)).items():
        lines.append(f"{quoted(key)} = {written(value, draw)}")
    for _ in range(draw(st.integers(0, 4))):
        header = draw(st.sampled_from(["[[zz]]", "[[ zz ]] # c", '[["zz"]]']))
        lines.append(draw(st.sampled_from(["", "  ", "\t"])) + header)
        for key, value in draw(st.dictionaries(KEYS, TREES, max_size=3)).items():
            lines.append(f"{quoted(key)}\t= {written(value, draw)}")
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n# end"]))


@settings(max_examples=60, deadline=None)
@given(documents())
def test_every_value_of_every_document_is_found_where_it_stands(text):
    try:
        tree = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    found = positions(text)
    for path in paths(tree):
        start, end = found.values[path]
        if found.keys.get(path) != (start, end):
            assert repr(tomli.loads(f"x = {text[start:end]}")["x"]) == repr(value_at(tree, path))


@settings(max_examples=120, deadline=None)
@given(st.text(st.sampled_from("[]{}=.,\"'#\n\\ ab1_-"), max_size=40))
def test_no_text_at_all_makes_the_scanner_fail(text):
    found = positions(text)

    for start, end in [*found.keys.values(), *found.values.values()]:
        assert 0 <= start < end <= len(text)
