"""Every kind of event has its words, its fields, its variables, its level and its MESSAGE_ID."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.events import Event, Kind
from healthd.hooks import words

from .samples import AT, sample

ALL_KINDS = pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)


@ALL_KINDS
def test_every_event_has_a_sentence_in_one_line(kind):
    assert words.sentence(sample(kind)) == sample(kind).message
    assert words.sentence(sample(kind)).isprintable()


def test_an_event_without_a_message_is_called_by_its_kind():
    assert words.sentence(Event(Kind.DRIFT, AT, "")) == "drift"


@ALL_KINDS
def test_the_document_has_always_the_same_keys(kind):
    document = json.loads(words.document(sample(kind)))

    assert list(document) == [
        "at", "message", "kind", "service", "virtual", "real", "previous", "phase", "reason", "detail", "weight",
        "effect",
        "streak",
    ]  # fmt: skip
    assert document["kind"] == kind.value
    assert document["at"] == "2026-11-22T03:12:44.123Z"


@ALL_KINDS
def test_the_variables_are_always_all_there(kind):
    assert set(words.variables(sample(kind))) == {
        "HEALTHD_AT", "HEALTHD_MESSAGE", "HEALTHD_KIND", "HEALTHD_SERVICE", "HEALTHD_VIRTUAL", "HEALTHD_REAL",
        "HEALTHD_PREVIOUS", "HEALTHD_PHASE", "HEALTHD_REASON", "HEALTHD_DETAIL", "HEALTHD_WEIGHT", "HEALTHD_EFFECT",
        "HEALTHD_STREAK",
    }  # fmt: skip


def test_the_variables_say_what_the_event_says():
    variables = words.variables(sample(Kind.SERVER_DOWN, effect=("one", "two")))

    assert variables["HEALTHD_KIND"] == "server-down"
    assert variables["HEALTHD_REAL"] == "10.0.0.11:80"
    assert variables["HEALTHD_WEIGHT"] == "0"
    assert variables["HEALTHD_EFFECT"] == "one; two"
    assert words.variables(sample(Kind.TABLE_BACK))["HEALTHD_WEIGHT"] == ""


@given(st.text(alphabet=st.characters(), max_size=50))
def test_a_hostile_detail_cannot_leave_its_variable_or_its_line(detail):
    event = sample(Kind.SERVER_DOWN, detail=detail)

    for value in words.variables(event).values():
        assert value.isprintable()
        value.encode()
    assert words.document(event).count(b"\n") == 1
    assert json.loads(words.document(event))["detail"] == detail


def test_a_variable_is_never_longer_than_the_kernel_takes():
    event = sample(Kind.SERVICE_ADDED, effect=tuple(f"add 10.0.0.{n}:80 ☃" for n in range(20_000)))

    value = words.variables(event)["HEALTHD_EFFECT"]

    assert len(value.encode()) <= words.VARIABLE_LIMIT
    assert value.endswith("...")
    assert len(json.loads(words.document(event))["effect"]) == 20_000


def test_every_kind_has_a_message_id_of_its_own_that_never_changes():
    ids = {kind: words.message_id(kind) for kind in Kind}

    assert len(set(ids.values())) == len(Kind)
    assert all(UUID(text).hex == text for text in ids.values())
    assert ids[Kind.SERVER_DOWN] == "21df5b1afac35d96b67f44ac4988e601"


def test_a_newer_state_of_a_server_outdates_an_older_one_but_not_one_of_another_server():
    down, up = sample(Kind.SERVER_DOWN), sample(Kind.SERVER_UP)

    assert words.subject(down) == words.subject(up)
    assert words.subject(down) != words.subject(sample(Kind.SERVER_UP, real="10.0.0.12:80"))
    assert words.subject(down) != words.subject(sample(Kind.SERVER_UP, service="mail"))
    assert words.subject(down) != words.subject(sample(Kind.SERVER_ADMIN))


@ALL_KINDS
def test_only_what_tells_no_state_may_be_forgotten_altogether(kind):
    assert (words.subject(sample(kind)) is None) == (kind in (Kind.DRIFT, Kind.PROBER_LOST))
