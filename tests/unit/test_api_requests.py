"""What can be asked over the control socket, and what comes back if it makes no sense."""

from __future__ import annotations

import asyncio

import pytest

from healthd.api import NotFound, Refused
from healthd.api.requests import BadRequest, order
from healthd.control import ControlError, Refusal, ask
from healthd.state import Kept
from tests.unit.test_api import BOUND, asked, raw, serving

MOST_FOLLOWERS = 32


async def explain(names):
    raise NotFound(f"no service is called {names[0]!r}")


async def override(asked_for):
    if not asked_for.force:
        raise Refused("that would leave www with 0 of 1 usable servers")
    return {"order": repr(asked_for)}


async def events(names, wanted):
    return {"names": names}


async def follow(names, wanted):
    yield Kept(wanted.after + 1, 1.0, {"message": "caf\u00e9"})
    await asyncio.sleep(3600)


def answering(path):
    """A control socket that answers with these."""
    return serving(path, explain=explain, events=events, override=override, follow=follow)


@pytest.mark.parametrize(
    ("method", "what", "body", "code", "said"),
    [
        ("GET", "/v1/explain?name=www", None, 404, "no service is called 'www'"),
        ("GET", "/v1/explain", None, 400, "name: want one or two"),
        ("GET", "/v1/events?limit=-1", None, 400, 'limit: want a whole number, got "-1"'),
        ("GET", "/v1/events?limt=1", None, 400, "unknown limt; there is name, after, since, limit"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drain"}, 409, "would leave www"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drian"}, 400, "kind: want one of drain, maintenance"),
        ("POST", "/v1/overrides", {"names": "www", "kind": "drain"}, 400, "names: want a list of one or two names"),
        ("POST", "/v1/overrides", {"names": ["a", "b", "c"], "kind": "drain"}, 400, "names: want a list"),
        ("POST", "/v1/overrides", {"names": [], "kind": "drain"}, 400, "names: want a list"),
        ("POST", "/v1/overrides", {"kind": "drain"}, 400, "names and kind are needed"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "weight"}, 400, "weight belongs to kind weight"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drain", "weight": 3}, 400, "weight belongs to"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "weight", "weight": True}, 400, "weight: want a whole"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "weight", "weight": 65536}, 400, "from 0 to 65535"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drain", "lasting": 0}, 400, "lasting: want seconds"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drain", "why": "a\x1bb"}, 400, "why: want a line"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drain", "why": "x" * 201}, 400, "at most 200"),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drain", "forse": True}, 400, "unknown forse"),
        ("POST", "/v1/overrides", [1], 400, "must be an object"),
        ("DELETE", "/v1/overrides", {"names": ["www"], "kinds": []}, 400, "kinds: want a list of drain"),
        ("DELETE", "/v1/overrides", {}, 400, "names are needed"),
    ],
)
async def test_a_request_that_makes_no_sense_is_told_what_would(tmp_path, method, what, body, code, said):
    async with answering(tmp_path / "s"):
        with pytest.raises(Refusal) as caught:
            await asyncio.to_thread(ask, tmp_path / "s", method, what, BOUND, body=body)
    assert caught.value.status == code
    assert said in caught.value.said


async def test_a_body_that_is_too_large_is_refused_and_others_are_still_answered(tmp_path):
    async with answering(tmp_path / "s"):
        body = {"names": ["x" * 100_000]}
        with pytest.raises(ControlError):
            await asyncio.to_thread(ask, tmp_path / "s", "POST", "/v1/overrides", BOUND, body=body)
        assert await asked(tmp_path / "s")


def test_root_may_say_for_whom_it_asks_and_nobody_else_may():
    body = {"names": ["www"], "kind": "drain", "who": "amy"}
    assert order(body, "root").who == "amy"
    with pytest.raises(BadRequest, match="unknown who"):
        order(body, "bob")


async def test_events_are_streamed_with_their_ids_and_go_on_where_somebody_had_left_off(tmp_path):
    async with answering(tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"GET /v1/events/follow HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 41\r\n\r\n")
        async with asyncio.timeout(BOUND):
            head = await reader.readuntil(b"\r\n\r\n")
            sent = await reader.readuntil(b"}\n\n")
        writer.close()
    assert b"text/event-stream" in head
    assert b'id: 42\ndata: {"message": "caf\\u00e9"}\n\n' in sent


async def test_those_who_follow_leave_room_for_those_who_ask(tmp_path):
    async with answering(tmp_path / "s"):
        followers = [await asyncio.open_unix_connection(str(tmp_path / "s")) for _ in range(MOST_FOLLOWERS)]
        for reader, writer in followers:
            writer.write(b"GET /v1/events/follow HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(BOUND):
                await reader.readuntil(b"}\n\n")
        code, _, body = await raw(tmp_path / "s", b"GET /v1/events/follow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert code == 503
        assert b"follow events already" in body
        assert await asked(tmp_path / "s")
        for _, writer in followers:
            writer.close()
