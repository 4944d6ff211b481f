"""How one line of log looks in each format, whatever strangers put into it."""

from __future__ import annotations

import json
import logging
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.events import Kind
from healthd.log import render
from healthd.log.entry import Entry, entry_of
from healthd.log.printable import pair, printable
from healthd.log.setup import is_news

from .document import logged
from .samples import sample

AT = 1795317164.123
ANY_TEXT = st.text(alphabet=st.characters(), max_size=40)
PLAIN = Entry(AT, logging.WARNING, "healthd.test", "hello there", {"errno": 1, "why": "not allowed"})


def journal_fields(data: bytes) -> list[tuple[str, str]]:
    """A datagram of the native protocol taken apart, by the protocol's own description."""
    fields = []
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        fields.append((name.decode(), value.decode()))
        data = rest
    return fields


def test_a_line_of_text_says_time_level_who_what_and_its_fields():
    assert render.text(PLAIN) == (
        b'2026-11-22T03:12:44.123Z warning healthd.test: hello there | errno=1 why="not allowed"\n'
    )


def test_an_event_in_text_says_reason_evidence_and_effect():
    assert render.text(logged(sample(Kind.SERVER_DOWN))).decode() == (
        "2026-11-22T03:12:44.123Z warning server-down: www: 10.0.0.11:80 is down (timeout: no answer within 1 s), "
        "weight 0 | kind=server-down service=www virtual=192.0.2.80:80/tcp real=10.0.0.11:80 previous=up phase=down "
        'reason=timeout detail="no answer within 1 s" weight=0 '
        'effect="set 10.0.0.11:80 of 192.0.2.80:80/tcp forward=gate weight=0"\n'
    )


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
def test_every_event_is_one_line_of_text_and_one_object_of_json(kind):
    entry = logged(sample(kind))

    assert render.text(entry).count(b"\n") == 1
    assert render.as_json(entry).count(b"\n") == 1
    assert json.loads(render.as_json(entry))["kind"] == kind.value


def test_an_event_in_json_has_always_the_same_keys_in_the_same_order():
    keys = {tuple(json.loads(render.as_json(logged(sample(kind))))) for kind in Kind}

    assert keys == {
        (
            "at", "level", "logger", "message", "kind", "service", "virtual", "real", "previous", "phase", "reason",
            "detail", "weight", "effect", "streak",
        )
    }  # fmt: skip


def test_an_event_is_logged_at_the_time_it_happened_and_on_its_level():
    entry = logged(sample(Kind.TABLE_LOST))

    assert (entry.at, entry.level) == (AT, logging.ERROR)


@given(ANY_TEXT, ANY_TEXT)
def test_no_detail_of_a_server_can_begin_a_line_or_move_a_cursor(detail, effect):
    entry = logged(sample(Kind.SERVER_DOWN, detail=detail, effect=(effect,)))
    line = render.text(entry)

    assert line.endswith(b"\n")
    assert line[:-1].decode().isprintable()


@given(ANY_TEXT)
def test_json_and_journal_carry_every_detail_unchanged(detail):
    entry = logged(sample(Kind.SERVER_DOWN, detail=detail))
    shown = detail.encode("utf-8", "backslashreplace").decode()

    assert json.loads(render.as_json(entry))["detail"] == detail
    fields = journal_fields(render.journal(entry, 3))
    assert [value for name, value in fields if name == "HEALTHD_DETAIL"] == ([shown] if detail else [])


@given(ANY_TEXT)
def test_a_pair_can_be_read_back(text):
    value = pair("key", text).removeprefix("key=")
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    else:
        assert " " not in value

    assert value == printable(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "k=plain"),
        ("two words", 'k="two words"'),
        ('say "no"', r'k="say \"no\""'),
        ("a=b", 'k="a=b"'),
        ("back\\slash", r'k="back\\slash"'),
        ("two\nlines", r'k="two\\nlines"'),
        ("", 'k=""'),
    ],
)
def test_values_are_quoted_where_a_blank_or_a_quote_would_mislead(text, shown):
    assert pair("k", text) == shown


def test_control_characters_and_turned_directions_are_shown():
    assert printable("a\x1b[31m\u202eb\x00\r\n☃\udc80") == r"a\x1b[31m\u202eb\x00\r\n☃\udc80"


def test_a_traceback_follows_in_lines_that_begin_with_a_blank():
    entry = Entry(AT, logging.ERROR, "healthd.test", "oops", {}, 'Traceback:\n  File "x"\nValueError: \x1b[2J')

    lines = render.text(entry).decode().splitlines()

    assert lines[0].endswith("error   healthd.test: oops")
    assert lines[1:] == ["    Traceback:", '      File "x"', r"    ValueError: \x1b[2J"]
    assert render.as_json(entry).count(b"\n") == 1


def test_the_journal_gets_a_field_for_everything():
    event = sample(Kind.SERVER_DOWN, effect=("first", "second"))
    fields = journal_fields(render.journal(logged(event), 16))
    found = dict(fields)

    assert found["MESSAGE"] == "server-down: www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0"
    assert found["PRIORITY"] == "4"
    assert found["SYSLOG_IDENTIFIER"] == "healthd"
    assert found["SYSLOG_FACILITY"] == "16"
    assert len(found["MESSAGE_ID"]) == 32
    assert (found["HEALTHD_KIND"], found["HEALTHD_SERVICE"], found["HEALTHD_REAL"]) == (
        "server-down",
        "www",
        "10.0.0.11:80",
    )
    assert found["HEALTHD_WEIGHT"] == "0"
    assert [value for name, value in fields if name == "HEALTHD_EFFECT"] == ["first", "second"]


def test_no_detail_can_forge_a_field_of_the_journal():
    fields = journal_fields(render.journal(logged(sample(Kind.SERVER_DOWN, detail="x\nPRIORITY=0\nMESSAGE=hi")), 3))

    assert [value for name, value in fields if name == "PRIORITY"] == ["4"]
    assert len([value for name, value in fields if name == "MESSAGE"]) == 1


@pytest.mark.parametrize(
    ("key", "name"), [("errno", "HEALTHD_ERRNO"), ("odd-key.é", "HEALTHD_ODD_KEY__"), ("x" * 99, "HEALTHD_" + "X" * 56)]
)
def test_names_of_journal_fields_are_ones_journald_takes(key, name):
    assert render.journal_name(key) == name


@pytest.mark.parametrize(
    ("level", "severity"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (25, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_levels_become_severities_of_syslog(level, severity):
    assert render.severity(level) == severity


def test_a_datagram_of_syslog_is_one_line_with_its_priority():
    data = render.syslog(PLAIN, render.FACILITIES["local3"], render.syslog_content(PLAIN))

    head, _, content = data.decode().partition("]: ")
    assert head.startswith(f"<{19 * 8 + 4}>")
    assert head[len("<156>") :].startswith("Nov 2")
    assert content == 'healthd.test: hello there | errno=1 why="not allowed"'


def test_lines_for_a_standard_error_that_journald_reads_have_their_severity():
    entry = Entry(AT, logging.ERROR, "healthd.test", "oops", {}, "Traceback\nValueError")

    assert render.prefixed_text(entry) == b"<3>healthd.test: oops\n<3>    Traceback\n<3>    ValueError\n"


def test_extras_of_any_type_become_fields_and_never_hide_ours():
    record = logging.makeLogRecord(
        {"name": "x", "msg": "%s apples", "args": (3,), "level": "mine", "path": object, "ratio": float("nan"), "_k": 1}
    )
    entry = entry_of(record)
    loaded = json.loads(render.as_json(entry))

    assert loaded["message"] == "3 apples"
    assert loaded["level_"] == "mine"
    assert loaded["ratio"] == "nan"
    assert loaded["path"] == str(object)
    assert "_k" not in loaded


def test_arguments_that_do_not_fit_are_shown_not_raised():
    record = logging.makeLogRecord({"name": "x", "msg": "%d apples", "args": ("no",)})

    assert "%d apples ('no',)" in entry_of(record).message


def test_what_another_handler_left_in_a_record_is_no_field():
    record = logging.makeLogRecord({"name": "x", "msg": "apples"})
    logging.Formatter("%(asctime)s %(message)s").format(record)

    assert entry_of(record).fields == {}


@pytest.mark.parametrize("name", ["pyroute2.netlink.core", "aiohttp.access", "asyncio"])
def test_libraries_are_heard_only_when_something_is_wrong(name: str) -> None:
    said = [logging.LogRecord(name, level, "", 0, "text", None, None) for level in (logging.DEBUG, logging.ERROR)]

    assert [is_news(record) for record in said] == [False, True]
    assert is_news(logging.LogRecord("healthd.director", logging.DEBUG, "", 0, "text", None, None))
