"""Text in cells of a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.log.printable import printable
from healthd.top.cells import Line, Span, Style, cells, clipped, fitted, folded, line

WIDTHS = st.integers(0, 30)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("", 0), ("日本", 4), ("e\u0301", 1), ("naïve", 5), ("👍", 2), ("가", 2), ("ﬁ", 1)],
)
def test_a_text_takes_as_many_cells_as_terminals_give_it(text, width):
    assert cells(text) == width


@given(TEXTS, WIDTHS)
def test_a_fitted_text_takes_exactly_its_cells_and_is_letters_only(text, width):
    for right in (False, True):
        found = fitted(text, width, right=right)
        assert cells(found) == width
        assert found.isprintable()


@given(TEXTS.filter(str.isprintable), WIDTHS)
def test_a_text_that_fits_is_left_alone_and_another_ends_in_a_sign(text, width):
    found = clipped(text, width)

    assert found == text if cells(text) <= width else cells(found) <= width
    assert cells(text) <= width or width == 0 or found.endswith("…")


@given(st.lists(st.builds(Span, TEXTS, st.sampled_from(Style)), max_size=4), WIDTHS, st.booleans())
def test_a_line_that_is_cut_fits_and_one_that_is_marked_fills_its_width(spans, width, marked):
    found = Line(tuple(spans), marked).cut(width)
    wide = sum(cells(span.text) for span in found.spans)

    assert wide == width if marked else wide <= width
    assert all(span.text.isprintable() for span in found.spans)


@given(TEXTS, st.integers(1, 30))
def test_a_folded_text_fits_and_loses_nothing_but_blanks(text, width):
    found = list(folded(text, width))

    assert "".join(found).replace(" ", "") == printable(text.replace("\n", "")).replace(" ", "")
    assert all(cells(each) <= width or len(each) == 1 for each in found)


def test_what_is_folded_goes_on_below_its_own_indent():
    assert list(folded("  failed: tcp failed 2 times\nmore", 16)) == [
        "  failed: tcp",
        "    failed 2",
        "    times",
        "more",
    ]


def test_control_characters_of_a_stranger_are_shown_and_not_obeyed():
    assert line("\x1b[2J220 hello\r\n\u202e").cut(40).spans[0].text == r"\x1b[2J220 hello\r\n\u202e"
