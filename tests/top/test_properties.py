"""Any keys, documents and sizes in any order: nothing fails, everything fits, and the selected server stays so."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.top.cells import cells
from healthd.top.keys import pressed
from healthd.top.model import Reading, Top, resized, took
from healthd.top.panes import lines
from healthd.top.rows import Document
from healthd.top.words import Answered, Away, Explained, Happened, Key, Message, Pressed, Status, Unheard
from tests.top.documents import check, drained, event, server, service, status

TEXTS = st.text(max_size=10)
ADDRESSES = st.sampled_from([f"10.0.0.{n}:80" for n in range(1, 9)] + ["[2001:db8::1]:443", "日本:80"])
PHASES = st.sampled_from(["up", "down", "unknown"])
CHECKS = st.builds(
    check, st.sampled_from(["pass", "fail", "inconclusive"]), PHASES, st.integers(0, 3), TEXTS
) | PHASES.map(lambda phase: {**check(phase=phase), "last": None})
COUNTS = st.none() | st.builds(
    lambda active, inactive: {"active": active, "inactive": inactive, "persistent": 0},
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
WHENCE = st.lists(
    st.sampled_from(["drained", "maintenance", "edited", "reweighted", "failed"]), max_size=2, unique=True
)


@st.composite
def servers(draw: st.DrawFn) -> Document:
    address = draw(ADDRESSES)
    if draw(st.booleans()):
        return drained(address, why=draw(TEXTS))
    return server(
        address,
        draw(PHASES),
        draw(st.none() | st.integers(0, 65535)),
        name=draw(TEXTS),
        connections=draw(COUNTS),
        checks=draw(st.lists(CHECKS, max_size=2)),
        reasons=draw(WHENCE),
        refused=draw(st.none() | TEXTS),
        **{"for": draw(st.none() | st.floats(0, 1e6))},
    )


@st.composite
def services(draw: st.DrawFn) -> Document:
    reals = draw(st.lists(servers(), max_size=5, unique_by=lambda real: real["address"]))
    fallback = draw(st.none() | st.just({"address": "127.0.0.1:80", "active": True, "weight": 1}))
    return service(draw(st.sampled_from(["www", "mail", "dns", "ü"])), *reals, fallback=fallback)


DOCUMENTS = st.lists(services(), max_size=4, unique_by=lambda one: one["name"]).map(lambda found: status(*found))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Status, DOCUMENTS, st.floats(0, 100), TEXTS),
    st.builds(Away, TEXTS, TEXTS),
    st.builds(Happened, st.builds(event, TEXTS), st.booleans()),
    st.builds(Unheard, TEXTS),
    st.builds(Explained, st.just(("www",)), TEXTS),
    st.builds(Answered, TEXTS, st.booleans()),
)
MOVES: st.SearchStrategy[Pressed] = st.sampled_from([Key.UP, Key.DOWN, Key.PAGE_UP, Key.PAGE_DOWN, Key.HOME, Key.END])
LETTERS: st.SearchStrategy[Pressed] = st.sampled_from([*Key, *"qjks<>r/fedmuvp?yn"])
KEYS = MOVES | LETTERS | st.characters(exclude_categories=("Cs", "Cc"))
SIZES = st.tuples(st.integers(1, 30), st.integers(1, 200))
STEPS = st.lists(st.one_of(MESSAGES, KEYS, SIZES), max_size=10)


def stepped(top: Top, step: Message | Pressed | tuple[int, int]) -> Top:
    match step:
        case (height, width):
            return resized(top, height, width)
        case Key() | str():
            return pressed(top, step)[0]
    return took(top, step)[0]


@settings(max_examples=60)
@given(SIZES, st.booleans(), STEPS)
def test_whatever_comes_every_line_fits_and_is_letters_only(size, may_write, steps):
    top = Top(*size, may_write=may_write)
    for step in steps:
        top = stepped(top, step)
        drawn = lines(top)
        assert len(drawn) == top.height
        for at, line in enumerate(drawn):
            assert sum(cells(span.text) for span in line.spans) <= top.width - (at == top.height - 1)
            assert all(span.text.isprintable() for span in line.spans)


@settings(max_examples=60)
@given(SIZES, DOCUMENTS, STEPS)
def test_whatever_comes_the_selected_server_is_the_only_one_marked_and_on_the_screen(size, document, steps):
    top = stepped(Top(*size), Status(document, 0.0, ""))
    for step in steps:
        top = stepped(top, step)
        marked = [at for at, line in enumerate(lines(top)) if line.marked]
        if top.shown and top.list_lines and not isinstance(top.mode, Reading):
            assert marked == [4 + top.index - top.offset]
            assert top.row.key == top.selected
        else:
            assert marked == []


@settings(max_examples=60)
@given(SIZES, STEPS, DOCUMENTS)
def test_a_new_document_takes_the_selection_only_from_a_server_that_is_gone(size, steps, document):
    top = Top(*size)
    for step in steps:
        top = stepped(top, step)
    selected = top.selected
    top = stepped(top, Status(document, 200.0, ""))
    if selected in {row.key for row in top.shown}:
        assert top.selected == selected
