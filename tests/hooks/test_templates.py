"""What stands in a message, word by word, and that nothing a server said can be more than text in it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.config.schema import Template
from healthd.events import PROBLEMS, RECOVERIES, Event, Kind
from healthd.hooks.problems import Item, Problems, begun
from healthd.hooks.templates import NTFY_BYTES, Access, News, bodies, kinds
from healthd.hooks.waiting import Waiting, packed, unpacked
from healthd.hooks.words import QUIET, subject, values

from .messages import down, up
from .samples import AT, sample

ACCESS = Access("alerts", "R0UTING")
DOWN, UP = sample(Kind.SERVER_DOWN), sample(Kind.SERVER_UP, at=AT + 60)


def told(template: Template, *events: Event, problems: Problems | None = None, again: bool = False):
    """The messages about events. problems: what the receiver knows of."""
    known = problems or Problems()
    return bodies(template, News("msg_1", "lb1", AT + 61, events, tuple(known), known.ends(events), again), ACCESS)


def knowing(*events: Event, group: str = "msg_0") -> Problems:
    """What a receiver knows that was told these in one message."""
    problems = Problems()
    problems.tell([Item(number, event) for number, event in enumerate(events)], group)
    return problems


def test_json_has_each_event_as_programs_get_it():
    (body,) = told(Template.JSON, DOWN, UP)
    assert body["events"] == [values(DOWN), values(UP)]
    assert (body["id"], body["host"]) == ("msg_1", "lb1")
    assert body["message"] == "lb1: 1 server down, 1 server up: www"


def test_slack_gets_one_line_for_one_event_and_a_list_for_many():
    (one,), (two,) = told(Template.SLACK, DOWN), told(Template.SLACK, DOWN, sample(Kind.SERVICE_DOWN))
    assert one == {"text": ":red_circle: *lb1: www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0*"}
    assert two["text"].splitlines() == [
        ":red_circle: *lb1: 1 service without a server, 1 server down: www*",
        "• www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0",
        "• www: 192.0.2.80:80/tcp has no usable server",
    ]
    assert told(Template.SLACK, UP)[0]["text"].startswith(":large_green_circle: ")
    assert told(Template.SLACK, sample(Kind.STARTED))[0]["text"].startswith(":information_source: ")


def test_what_a_server_said_mentions_nobody_in_slack():
    (body,) = told(Template.SLACK, replace(DOWN, message="<!channel> & <https://evil.test|ok>\x1b[2J\nme too"))
    assert "&lt;!channel&gt; &amp; &lt;https://evil.test|ok&gt;" in body["text"]
    assert "\n" not in body["text"]
    assert "\x1b" not in body["text"]


def test_ntfy_rings_for_what_is_bad_and_whispers_that_it_is_over():
    (bad,), (worse,), (over,) = (told(Template.NTFY, e) for e in (DOWN, sample(Kind.SERVICE_DOWN), UP))
    assert (bad["topic"], bad["priority"], bad["tags"]) == ("alerts", 4, ["rotating_light"])
    assert (worse["priority"], over["priority"], over["tags"]) == (5, 3, ["white_check_mark"])
    assert bad["title"] == "lb1: www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0"


@pytest.mark.parametrize("template", list(Template))
def test_a_thousand_events_are_one_message_of_bearable_length(template):
    events = [replace(down(number), message="ü" * 3000) for number in range(1000)]
    messages = told(template, *events)
    assert len(messages) == 1
    if template is Template.NTFY:
        assert len(messages[0]["message"].encode()) <= NTFY_BYTES
    if template is Template.SLACK:
        assert len(messages[0]["text"]) < 40_000
        assert "... and 970 more" in messages[0]["text"]
    if template is Template.PAGERDUTY:
        assert len(messages[0]["payload"]["summary"]) <= 1024
        assert len(json.dumps(messages[0])) < 512 * 1024, "PagerDuty's limit"


def test_alertmanager_gets_labels_that_are_the_same_at_the_end():
    ((first,),) = told(Template.ALERTMANAGER, DOWN)
    ((last,),) = told(Template.ALERTMANAGER, UP, problems=knowing(DOWN))
    assert (
        first["labels"]
        == last["labels"]
        == {
            "alertname": "HealthdServerDown",
            "severity": "warning",
            "instance": "lb1",
            "service": "www",
            "virtual": "192.0.2.80:80/tcp",
            "real": "10.0.0.11:80",
        }
    )
    assert first["startsAt"] == last["startsAt"] == "2026-11-22T03:12:44.123Z"
    assert first["endsAt"] == "2026-11-22T03:18:45.123Z"
    assert last["endsAt"] == "2026-11-22T03:13:44.123Z"
    assert first["annotations"] == {
        "summary": "www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0",
        "reason": "timeout",
        "detail": "no answer within 1 s",
    }


def test_alertmanager_hears_of_all_that_goes_on_when_it_is_time():
    (short,) = told(Template.ALERTMANAGER, up(1), down(3), problems=knowing(down(1), down(2)))
    (whole,) = told(Template.ALERTMANAGER, up(1), down(3), problems=knowing(down(1), down(2)), again=True)
    assert {alert["labels"]["real"] for alert in short} == {down(1).real, down(3).real}
    assert {alert["labels"]["real"] for alert in whole} == {down(1).real, down(2).real, down(3).real}


def test_pagerduty_gets_one_alert_for_a_rack_and_its_end_with_the_last():
    rack = [down(number) for number in range(3)]
    (trigger,) = told(Template.PAGERDUTY, *rack)
    assert (trigger["event_action"], trigger["dedup_key"], trigger["routing_key"]) == ("trigger", "msg_1", "R0UTING")
    assert trigger["payload"]["summary"] == "lb1: 3 servers down: www"
    assert trigger["payload"]["severity"] == "warning"
    assert len(trigger["payload"]["custom_details"]["events"]) == 3
    known = knowing(*rack, group="msg_1")
    assert told(Template.PAGERDUTY, up(0), up(1), problems=known) == []
    (resolve,) = told(Template.PAGERDUTY, *map(up, range(3)), problems=known)
    assert resolve == {"routing_key": "R0UTING", "event_action": "resolve", "dedup_key": "msg_1"}


def test_pagerduty_is_not_told_twice_of_a_problem_that_goes_on():
    assert told(Template.PAGERDUTY, down(1), problems=knowing(down(1))) == []


def test_the_worst_of_a_message_is_its_severity():
    (trigger,) = told(Template.PAGERDUTY, DOWN, sample(Kind.SERVICE_DOWN), sample(Kind.ROW_REFUSED))
    assert trigger["payload"]["severity"] == "critical"


@pytest.mark.parametrize("template", [Template.ALERTMANAGER, Template.PAGERDUTY])
def test_whoever_wants_a_problem_hears_of_its_end(template):
    chosen = kinds(template, frozenset({"server-down"}))
    assert chosen == {Kind.SERVER_DOWN, Kind.SERVER_UP, Kind.SERVER_REMOVED}
    assert kinds(template, frozenset()) == {*PROBLEMS, *RECOVERIES}


def test_programs_hear_of_everything_that_other_programs_do():
    assert kinds(Template.JSON, frozenset()) == set(Kind) - QUIET
    assert kinds(Template.SLACK, frozenset({"started"})) == {Kind.STARTED}


# --- what a receiver knows of, and what waits for it ------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_an_event_lives_through_a_restart_as_it_was(kind):
    assert unpacked(packed(sample(kind))) == sample(kind)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "server-up"}', '{"kind": "x", "effect": []}', "\x00"])
def test_what_is_no_event_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"not an event|Expecting|not a valid Kind"):
        unpacked(text)


def one_of_three(kind: Kind, number: int) -> Event:
    """An event of that kind; if it is of a server, then of one of three."""
    event = sample(kind)
    return replace(event, real=f"10.0.0.{number}:80") if event.real else event


EVENTS = st.lists(st.builds(one_of_three, st.sampled_from(Kind), st.integers(0, 2)))


@given(EVENTS, st.lists(st.integers(1, 5)))
def test_whatever_happens_a_receiver_ends_up_knowing_what_goes_on(events, sizes):
    """Told one by one, in batches of any size, with the outdated left out: the same problems are known in the end."""
    one_by_one, in_batches, waiting = Problems(), Problems(), Waiting()
    for number, event in enumerate(events):
        one_by_one.tell([Item(number, event)], "x")
        waiting.put(Item(number, event))
        if number in sizes:
            batch = waiting.first(1000)
            in_batches.tell(batch, "y")
            waiting.remove(batch)
    in_batches.tell(waiting.first(1000), "z")
    assert {begun(item.event) for item in one_by_one} == {begun(item.event) for item in in_batches}


@given(EVENTS)
def test_of_each_subject_the_newest_waits_in_the_order_of_their_coming(events):
    waiting, newest = Waiting(), {}
    for number, event in enumerate(events):
        waiting.put(Item(number, event))
        newest[subject(event) or (event.kind, event.real)] = number
    assert [item.number for item in waiting.first(1000)] == sorted(newest.values())


def test_an_event_that_is_older_than_what_waits_is_outdated_at_once():
    waiting, old, new = Waiting(), Item(1, DOWN), Item(2, UP)
    assert waiting.put(new) is None
    assert waiting.put(old) is old
    assert waiting.first(9) == (new,)
    waiting.remove([old])
    assert waiting.first(9) == (new,)
