"""The OpenAPI document is held to the routes, to the file in docs/, and to what a real daemon answers and takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from healthd.api.openapi import OPERATIONS, SCHEMAS, document
from healthd.api.routes import ROUTES
from healthd.control import Refusal, ask
from tests.daemon.conftest import PATIENCE, RunningDaemon, service_text

PAGE = Path(__file__).parents[2] / "docs" / "openapi.json"


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """For a schema that may refer to the others."""
    return Draft202012Validator({**schema, "components": {"schemas": dict(SCHEMAS)}})


def test_every_route_is_told_and_nothing_else():
    assert {(route.method, route.path) for route in ROUTES} == OPERATIONS.keys()


def test_the_document_in_docs_is_current():
    """Make it by: python -m tests.daemon.test_openapi."""
    assert json.loads(PAGE.read_text()) == document()


@pytest.mark.parametrize("where", sorted(OPERATIONS))
def test_every_schema_is_one(where):
    _, parameters, body, answer = OPERATIONS[where]
    for schema in (answer, body or {}, *(parameter["schema"] for parameter in parameters)):
        Draft202012Validator.check_schema(schema)


@pytest.fixture
def daemon(write, start, listeners) -> RunningDaemon:
    """One server is up, one is down; one is drained."""
    fallback = 'fallback = "10.0.0.99"\n'
    text = service_text("www", listeners).replace("[service.check]", f"{fallback}[service.check]", 1)
    write(text)
    started: RunningDaemon = start()
    started.until(lambda: set(started.weights().values()) == {7}, "both up")
    listeners[1].close()
    started.until(lambda: 0 in started.weights().values(), "one down")
    return started


def test_what_a_daemon_answers_is_as_told(daemon, listeners):
    one = f"{listeners[0].address}:{listeners[0].port}"
    asked = [
        ("POST", "/v1/overrides", {"names": [one], "kind": "weight", "weight": 3, "why": "slow", "lasting": 600}),
        ("POST", "/v1/overrides", {"names": ["www"], "kind": "drain", "force": True}),
        ("GET", "/v1/caller", None),
        ("GET", "/v1/status?counters", None),
        ("GET", "/v1/servers?name=www&counters", None),
        ("GET", f"/v1/explain?name={one}", None),
        ("GET", f"/v1/explain?name={listeners[1].address}", None),
        ("GET", "/v1/explain?name=www", None),
        ("GET", "/v1/events?name=www&limit=5&since=0&after=0", None),
        ("GET", "/v1/overrides", None),
        ("POST", "/v1/check-now", {"names": ["www"]}),
        ("POST", "/v1/resync", None),
        ("GET", "/v1/config", None),
        ("POST", "/v1/reload?dry", None),
        ("POST", "/v1/reload", None),
        ("DELETE", "/v1/overrides", {"names": ["www"], "kinds": ["drain"]}),
        ("DELETE", "/v1/overrides", {"names": [one]}),
    ]
    for method, what, body in asked:
        _, _, request, answer = OPERATIONS[method, what.partition("?")[0]]
        if request is not None:
            validator(request).validate(body)
        validator(answer).validate(ask(daemon.socket, method, what, PATIENCE, body=body))
    told = {(method, what.partition("?")[0]) for method, what, _ in asked}
    assert told >= {where for where in OPERATIONS if where[1].startswith("/v1") and "follow" not in where[1]}


def test_what_is_refused_is_refused_by_the_document_too(daemon):
    for body in ({"names": ["www"], "kind": "drian"}, {"kind": "drain"}, {"names": [], "kind": "drain"}):
        assert not validator(OPERATIONS["POST", "/v1/overrides"][2]).is_valid(body)
        with pytest.raises(Refusal):
            ask(daemon.socket, "POST", "/v1/overrides", PATIENCE, body=body)


if __name__ == "__main__":
    PAGE.write_text(json.dumps(document(), indent=1) + "\n")
