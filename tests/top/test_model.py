"""What `healthd top` shows and asks for, from documents and keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthd.top.cells import Line, Style
from healthd.top.keys import pressed
from healthd.top.model import Browsing, Confirming, Reading, Reasoning, Top, resized, took
from healthd.top.panes import lines
from healthd.top.words import Answered, Away, Explain, Explained, Happened, Key, Order, Request, Status, Unheard
from tests.top.documents import Document, check, drained, event, server, service, status

TWO = status(
    service("mail", server("10.0.0.9:25", active=5), server("10.0.0.11:25", "down", weight=0)),
    service("www", server("10.0.0.9:80", active=40), drained("10.0.0.11:80")),
)


def view(document: Document = TWO, height: int = 24, width: int = 120, **others) -> Top:
    return told(Top(height, width, **{"may_write": True, **others}), document)


def told(top: Top, document: Document, at: float = 1.0) -> Top:
    return took(top, Status(document, at, "03:04:05Z"))[0]


def typed(top: Top, keys: str) -> tuple[Top, list[Request]]:
    """The view after keys; a line's end is Enter, a cross is Escape."""
    asked: list[Request] = []
    for key in keys:
        top, requests = pressed(top, {"\n": Key.ENTER, "†": Key.ESCAPE}.get(key, key))
        asked += requests
    return top, asked


def texts(top: Top) -> list[str]:
    return ["".join(span.text for span in line.spans) for line in lines(top)]


def listed(top: Top) -> list[str]:
    """Services and addresses in the list."""
    return [" ".join(line.split()[:2]) for line in texts(top)[4 : 4 + len(top.shown)]]


def style(line: Line, text: str) -> Style:
    return next(span.style for span in line.spans if text in span.text)


# --- the head -----------------------------------------------------------------------------------------------------


def test_the_head_counts_servers_and_says_how_the_prober_and_the_table_are():
    head = texts(view())

    assert head[0] == "healthd 0.1.0  03:04:05Z  2 services  4 servers: 3 up  1 down  0 unknown  1 taken out"
    assert head[1] == "34 probes/s, 4 failed; late by 1.5 ms (p99); heard 0s ago; table ok, 8 writes"
    assert head[2] == ""


def test_what_must_be_known_first_stands_in_the_third_line():
    lacking = service("www", server("10.0.0.1:80", "down", weight=0), present=False, edited=True, refused="add it")
    document = status(lacking, table={"ok": False, "error": "no module", "writes": 1}, unsaved="disk full")
    document["prober"] |= {"age": 75.0, "inconclusive": 2, "missed": 3}
    document["hooks"] = [{"name": "mail", "queued": 2, "last_error": "refused"}]
    head = texts(view(document, width=400))

    assert head[1].endswith("2 inconclusive; late by 1.5 ms (p99), 3 missed; heard 1m ago; NO TABLE")
    assert head[2].split("; ") == [
        "THE TABLE CANNOT BE KEPT: no module",
        "THE PROBER HAS SAID NOTHING FOR 1m",
        "no server of www takes connections",
        "not in the table: www",
        "the table refused to add it",
        "edited by somebody else: www",
        "mail: 2 events wait",
        "last error: refused",
        "overrides do not live through a restart: disk full",
    ]


def test_a_daemon_without_a_probe_made_or_a_service_is_shown_as_such():
    document = status()
    document["prober"] = {"probes": 0, "age": None}

    assert "0 probes, none made yet" in texts(view(document))[1]
    assert "no servers are configured" in texts(view(document))[4]


def test_the_daemon_s_absence_is_told_with_its_beginning_until_it_answers_again():
    top, _ = took(view(), Away("no daemon answers", "03:05:00Z"))
    top, _ = took(top, Away("no daemon answers still", "03:06:00Z"))

    assert texts(top)[2] == "NO ANSWER since 03:05:00Z: no daemon answers still"
    assert {span.style for span in lines(top)[4].spans if span.text.strip()} == {Style.DIM}
    assert texts(told(top, TWO))[2] == ""


# --- the list -----------------------------------------------------------------------------------------------------


def test_a_row_says_what_is_known_of_a_server():
    busy = server("10.0.0.11:80", active=12, name="alpha", checks=[check("fail", streak=2, detail="got 503")])
    top = told(
        view(status(service("www", server("10.0.0.11:80", active=2))), width=150), status(service("www", busy)), 3.0
    )
    titles, row = (" ".join(text.split()) for text in texts(top)[3:5])

    assert titles == "SERVICE▲ SERVER STATE STREAK FOR WEIGHT ACT ACT/S INACT INACT/S AGO LAST ANSWER"
    assert row == "www 10.0.0.11:80 (alpha) up 2/3 12s 7 12 +5.0 24 +10 0s tcp fail got 503 (1.25 ms)"


@pytest.mark.parametrize(
    ("real", "state", "looks"),
    [
        (server("a:1"), "up", Style.GOOD),
        (server("a:1", "down"), "down", Style.BAD),
        (server("a:1", "unknown"), "unknown", Style.WARNING),
        (drained("a:1"), "up, drained by root", Style.OUT),
        (server("a:1", reasons=["maintenance"], wishes=[{"source": "files"}]), "up, maintenance by files", Style.OUT),
        (server("a:1", reasons=["drained"]), "up, drained", Style.OUT),
        (server("a:1", reasons=["edited"]), "up, edited", Style.WARNING),
        (server("a:1", checks=[check("fail", streak=1)]), "up", Style.WARNING),
        (server("a:1", checks=[{**check(), "inconclusive": 3}]), "up, unsure", Style.WARNING),
        (
            server("a:1", reasons=["reweighted"], overrides=[{"kind": "weight", "who": "ann"}]),
            "up, weight by ann",
            Style.WARNING,
        ),
    ],
)
def test_the_state_names_the_phase_and_who_asked_for_what(real, state, looks):
    row = lines(view(status(service("www", real))))[4]

    assert row.spans[4].text.rstrip() == state
    assert row.spans[4].style is looks


def test_a_fallback_and_a_stranger_are_rows_of_their_own_that_no_order_is_given_for():
    fallback = {"address": "127.0.0.1:80", "active": True, "weight": 1}
    others = [{"address": "10.9.9.9:80", "weight": 3}]
    top = view(status(service("www", server("10.0.0.1:80", "down", weight=0), fallback=fallback, others=others)))

    assert listed(top) == ["www 10.0.0.1:80", "www 127.0.0.1:80", "www 10.9.9.9:80"]
    assert "fallback in use" in texts(top)[5]
    assert "not configured" in texts(top)[6]
    assert texts(typed(top, "jd")[0])[-1] == "this is no server that can be taken out"
    assert typed(top, "je")[1] == [Explain(("www",))]


def test_numbers_are_sorted_by_their_size_the_greatest_first_and_names_as_people_count():
    top = view(width=160)

    assert listed(typed(top, ">")[0])[0] == "mail 10.0.0.9:25"
    by_weight = typed(top, ">>>>>>")[0]
    assert by_weight.column.title == "ACT"
    assert listed(by_weight)[0] == "www 10.0.0.9:80"
    assert listed(typed(by_weight, "r")[0])[-1] == "www 10.0.0.9:80"
    assert typed(top, "<")[0].column.title == "LAST ANSWER"
    assert typed(top, "s<")[0].column.title == "SERVICE"


def test_what_has_no_number_comes_last_both_ways():
    without = server("10.0.0.1:80", connections=None)
    top, _ = typed(view(status(service("www", without, server("10.0.0.2:80", active=1)))), ">>>>>>")

    for each in (top, typed(top, "r")[0]):
        assert listed(each) == ["www 10.0.0.2:80", "www 10.0.0.1:80"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("WWW", ["www 10.0.0.9:80", "www 10.0.0.11:80"]),
        (":25", ["mail 10.0.0.9:25", "mail 10.0.0.11:25"]),
        ("down", ["mail 10.0.0.11:25"]),
        ("drained", ["www 10.0.0.11:80"]),
        ("nothing has this", []),
    ],
)
def test_a_filter_looks_at_names_addresses_phases_and_reasons(text, left):
    assert listed(typed(view(), f"/{text}\n")[0]) == left


def test_a_filter_works_while_it_is_typed_and_escape_brings_back_the_one_before():
    top, _ = typed(view(), "/mail\n")
    typing, _ = typed(top, "/x")

    assert texts(typing)[-1] == "filter: mailx_"
    assert listed(typing) == []
    assert typed(typing, "†")[0].filter == "mail"
    assert pressed(typing, Key.BACKSPACE)[0].filter == "mail"
    assert typed(top, "†")[0].filter == ""


def test_failed_only_leaves_what_is_down_unknown_or_failing():
    failing = server("10.0.0.3:80", checks=[check("fail", streak=1)])
    refused = server("10.0.0.4:80", refused="add it: no memory")
    document = status(service("www", *TWO["services"][0]["reals"], drained("10.0.0.2:80"), failing, refused))

    assert listed(typed(view(document), "f")[0]) == ["www 10.0.0.11:25", "www 10.0.0.3:80", "www 10.0.0.4:80"]


def test_columns_that_do_not_fit_are_left_out_but_never_the_one_that_is_sorted_by():
    wide, narrow = view(width=160), view(width=60)

    assert "INACT/S" in texts(wide)[3]
    assert "INACT/S" not in texts(narrow)[3]
    sorted_by, _ = typed(narrow, "<<<")
    assert sorted_by.column.title == "INACT/S"
    assert "INACT/S▼" in texts(sorted_by)[3]
    assert "LAST AN" in texts(narrow)[3]


def test_an_address_is_whole_on_80_columns_also_one_of_ipv6():
    top = view(status(service("a-very-long-name-of-a-service", server("[2001:db8:12:34::1:11]:8443"))), width=80)

    assert "[2001:db8:12:34::1:11]:8443 up" in texts(top)[4]
    assert "LAST" in texts(top)[3]


def test_of_many_servers_those_around_the_selected_one_are_on_the_screen():
    many = status(*(service(f"s{i:03}", *(server(f"10.{i}.0.{j}:80") for j in range(1, 21))) for i in range(100)))
    top = view(many)

    end, _ = pressed(top, Key.END)
    assert texts(end)[3 + end.list_lines].split()[:2] == ["s099", "10.99.0.20:80"]
    assert [line.marked for line in lines(end)].index(True) == 4 + end.list_lines - 1
    up, _ = pressed(end, Key.PAGE_UP)
    assert up.index == 2000 - 1 - top.list_lines
    assert pressed(up, Key.HOME)[0].offset == 0
    larger = resized(end, 60, 120)
    assert larger.index == 1999
    assert lines(larger)[4 + larger.list_lines - 1].marked


# --- text, events, bottom -----------------------------------------------------------------------------------------


def test_what_is_explained_is_asked_again_with_each_status_and_another_s_answer_is_not_taken():
    top, asked = typed(view(), "e")
    assert asked == [Explain(("mail", "10.0.0.9:25"))]

    top, _ = took(top, Explained(("www",), "of another"))
    top, _ = took(top, Explained(("mail", "10.0.0.9:25"), "it is up"))
    assert texts(top)[3:5] == ["mail 10.0.0.9:25".ljust(120), "it is up"]

    assert took(top, Status(TWO, 2.0, "03:04:06Z"))[1] == (Explain(("mail", "10.0.0.9:25")),)
    top, _ = typed(top, "†")
    assert top.mode == Browsing()
    assert took(top, Explained(("mail", "10.0.0.9:25"), "late"))[0] == top


def test_a_text_is_scrolled_no_further_than_its_end():
    top = replace(view(), mode=Reading("title", "\n".join(map(str, range(100)))))
    for _ in range(10):
        top, _ = pressed(top, Key.PAGE_DOWN)

    assert texts(top)[-2] == "99"
    top, _ = pressed(top, "k")
    assert texts(top)[-2] == "98"
    assert texts(pressed(top, Key.HOME)[0])[4] == "0"
    assert texts(pressed(top, Key.END)[0])[-2] == "99"


def test_the_newest_events_are_at_the_bottom_and_those_of_a_new_start_replace_them():
    top = view()
    for number in range(200):
        top, _ = took(top, Happened(event(f"event {number}", number=number), first=number == 0))

    assert texts(top)[-2] == "03:04:05Z event 199"
    assert len(top.events) == 100
    top, _ = took(top, Happened(event("www: gone", "server-down"), first=True))
    assert [one["message"] for one in top.events] == ["www: gone"]
    assert style(lines(top)[-6], "www: gone") is Style.BAD


def test_why_events_cannot_be_followed_is_said_until_they_can():
    top, _ = took(view(), Unheard("32 follow events already"))
    assert "32 follow events already" in "\n".join(texts(top))

    top, _ = took(top, Happened(event("www: back")))
    assert "32 follow events already" not in "\n".join(texts(top))


def test_while_it_is_paused_nothing_moves():
    paused, _ = typed(view(), "p")
    later = told(paused, status(), 9.0)
    later, _ = took(later, Happened(event("unseen")))

    assert texts(later)[2].strip() == "PAUSED"
    assert listed(later) == listed(paused)
    assert later.events == ()
    assert listed(told(typed(later, "p")[0], status(), 9.0)) == []


# --- orders -------------------------------------------------------------------------------------------------------


def test_a_drain_is_asked_for_after_a_reason_and_a_yes():
    top, asked = typed(view(), "dnew kernel \n")
    assert asked == []
    assert isinstance(top.mode, Confirming)
    assert texts(top)[-1] == "drain 10.0.0.9:25 of mail (new kernel)? y = yes, else no"

    top, asked = typed(top, "y")
    assert asked == [
        Order(
            "POST",
            {"names": ["mail", "10.0.0.9:25"], "kind": "drain", "why": "new kernel"},
            "drain 10.0.0.9:25 of mail: done",
        )
    ]
    assert texts(took(top, Answered("done", good=True))[0])[-1] == "done"


@pytest.mark.parametrize("keys", ["d†", "dwhy†", "d\nn", "d\n\n", "d\n†", "m\nq", "dyy†", "u", "ju"])
def test_anything_but_a_yes_asks_for_nothing(keys):
    assert typed(view(), keys)[1] == []


def test_maintenance_is_asked_for_whom_sudo_names():
    _, asked = typed(view(who="ann"), "m\ny")

    assert [order.body for order in asked] == [
        {"names": ["mail", "10.0.0.9:25"], "kind": "maintenance", "why": "", "who": "ann"}
    ]


def test_an_override_is_ended_by_the_names_that_it_was_asked_for_with():
    top, _ = typed(view(), "/drained\nu")

    assert top.mode.question == "end drain for 10.0.0.11:80 in every service by root"
    assert [order.body for order in typed(top, "y")[1]] == [{"names": ["10.0.0.11:80"], "kinds": ["drain"]}]


@pytest.mark.parametrize("key", "dmu")
def test_who_may_only_look_is_told_so_and_not_offered_orders(key):
    top = view(may_write=False)
    assert "drain" not in texts(top)[-1]

    top, asked = typed(top, key)
    assert texts(top)[-1].startswith("this user may only look")
    assert asked == []


def test_the_end_of_what_is_typed_is_seen():
    top, _ = typed(view(width=40), "d" + "a long reason " * 10 + "end")

    assert isinstance(top.mode, Reasoning)
    assert texts(top)[-1].endswith("end_")
    assert len(texts(top)[-1]) < 40


def test_q_ends_it_but_not_while_something_is_read_or_typed():
    assert typed(view(), "q")[0].ended
    assert not typed(view(), "?q")[0].ended
    assert not typed(view(), "/q")[0].ended
    assert not typed(view(), "dq")[0].ended
