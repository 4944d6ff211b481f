"""The API as an OpenAPI 3.1 document. tests/unit/test_openapi.py holds it to the routes and to a daemon's answers.

Within `/v1` names keep their meaning; new ones may be added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthd import __version__
from healthd.api.routes import ROUTES, Right, Route
from healthd.config.schema import Admin
from healthd.events import Kind
from healthd.health import Phase
from healthd.model import MAX_WEIGHT
from healthd.overrides import OverrideKind
from healthd.policy import Because

Schema = dict[str, Any]


def _object(about: str, /, **values: Schema) -> Schema:
    """An object that always has all of these and nothing else."""
    return {
        "type": "object",
        "description": about,
        "properties": values,
        "required": sorted(values),
        "additionalProperties": False,
    }


def _text(about: str = "") -> Schema:
    return {"type": "string", **({"description": about} if about else {})}


def _number(about: str = "") -> Schema:
    return {"type": "number", **({"description": about} if about else {})}


def _count(about: str = "") -> Schema:
    return {"type": "integer", "minimum": 0, **({"description": about} if about else {})}


def _flag(about: str = "") -> Schema:
    return {"type": "boolean", **({"description": about} if about else {})}


def _one_of(values: Any, about: str = "") -> Schema:
    return {"enum": [value.value for value in values], **({"description": about} if about else {})}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(of: Schema, about: str = "") -> Schema:
    return {"type": "array", "items": of, **({"description": about} if about else {})}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


WEIGHT = {"type": "integer", "minimum": 0, "maximum": MAX_WEIGHT}
NAMES = {"type": "array", "items": {"type": "string", "maxLength": 200}, "minItems": 1, "maxItems": 2}
SECONDS = "seconds"

SERVER: Mapping[str, Schema] = {
    "address": _text("ADDRESS:PORT"),
    "name": _text("as configured, or empty"),
    "phase": _one_of(Phase),
    "for": _or_null(_number("seconds in this phase; null if it is not checked")),
    "admin": _one_of(Admin, "what is wanted of it, the strongest of all wishes"),
    "wishes": _list(
        _object(
            "what one source wants besides the configuration",
            source=_text("operators, or maintenance files"),
            admin=_one_of(Admin),
            weight=_or_null(WEIGHT),
            why=_text(),
        )
    ),
    "overrides": _list(_ref("Override"), "those that cover it, the most precise first"),
    "reasons": _list(_one_of(Because), "why it is not at its configured weight; empty if it is"),
    "refused": _or_null(_text("what the table does not accept, and why")),
    "configured_weight": WEIGHT,
    "asked_weight": _or_null(_count("what its checks ask for")),
    "ordered_weight": _or_null(WEIGHT),
    "weight": _or_null({**WEIGHT, "description": "in the table; null if there is no row"}),
    "checks": _list(_ref("Check")),
    "connections": _or_null(
        _object("of the table, if asked for", active=_count(), inactive=_count(), persistent=_count())
    ),
    "config": _text("file and line"),
}
IN_SERVICE: Mapping[str, Schema] = {"service": _text("its name"), "virtual": _text("its address, or firewall mark")}

ANSWER: Mapping[str, Schema] = {
    "outcome": _text("pass, fail or inconclusive"),
    "reason": _text(),
    "detail": _text("may hold what the server said"),
    "age": _number(SECONDS),
    "took_ms": _number("milliseconds"),
}
CHECK: Mapping[str, Schema] = {
    "kind": _text(),
    "target": _text("whom it asks"),
    "interval": _number(SECONDS),
    "fast": _or_null(_number("interval in seconds while the verdict is in doubt")),
    "timeout": _number(SECONDS),
    "phase": _one_of(Phase),
    "streak": _count("verdicts in a row against the phase"),
    "inconclusive": _count("times in a row that we could not ask"),
    "rise": _count("passes in a row that bring it up"),
    "fall": _count("failures in a row that take it down"),
    "last": _or_null(_object("its last answer", **ANSWER)),
}
SCHEMAS: Mapping[str, Schema] = {
    "Error": _object("why there is no other answer", error=_text()),
    "Override": _object(
        "what an operator asks for",
        service=_text("name of a service; empty for every service"),
        server=_text("ADDRESS:PORT, or ADDRESS of a host; empty for every server of the service"),
        kind=_one_of(OverrideKind),
        weight=_or_null(WEIGHT),
        who=_text(),
        why=_text(),
        since=_text("RFC 3339"),
        until=_or_null(_text("RFC 3339")),
    ),
    "Check": _object("one check of one server", **CHECK),
    "ExplainedCheck": _object(
        "one check of one server, with what is remembered of it",
        **CHECK,
        answers=_list(
            _object(
                "an answer of the past; failures are remembered longer than passes",
                **ANSWER,
                connected_ms=_or_null(_number("until the stream was open")),
                secured_ms=_or_null(_number("until the TLS handshake was done")),
                first_byte_ms=_or_null(_number("until the first byte of an answer")),
                trace=_text("what was sent and received, line by line; empty where that is not known"),
            ),
            "newest first",
        ),
    ),
    "Server": _object("a real server", **SERVER),
    "ServerOfService": _object("a real server and its service", **IN_SERVICE, **SERVER),
    "Why": _object("a reason and what it stands on", reason=_one_of(Because), because=_text()),
    "ExplainedServer": _object(
        "a real server, explained",
        **IN_SERVICE,
        **{**SERVER, "checks": _list(_ref("ExplainedCheck"))},
        full_weight={**WEIGHT, "description": "what it would have if nothing ailed it"},
        written=_or_null(_number("seconds since its row was written; null if it never was by this daemon")),
        why=_list(_ref("Why")),
        comes_back=_list(_text(), "everything that must happen until it has its configured weight"),
        past=_list(_ref("Event"), "its last events"),
        text=_text("all of this in prose"),
    ),
    "Event": _object(
        "something that happened",
        id=_count("grows with time"),
        at=_text("RFC 3339"),
        message=_text("one line for people"),
        kind=_one_of(Kind),
        service=_text(),
        virtual=_text(),
        real=_text(),
        previous=_text("phase"),
        phase=_text(),
        reason=_text(),
        detail=_text(),
        weight=_or_null(WEIGHT),
        effect=_list(_text(), "what was done to the table"),
        streak=_text("failures in a row, of how many, as in 1/3"),
    ),
}


def _service(server: Schema, **more: Schema) -> Schema:
    row = {"address": _text(), "weight": _or_null(WEIGHT)}
    return _object(
        "a virtual service",
        name=_text(),
        virtual=_text("address, port and protocol, or firewall mark and family"),
        scheduler=_text(),
        on_failure=_text("quiesce or remove"),
        admin=_one_of(Admin),
        present=_flag("it is in the table"),
        edited=_flag("somebody else edited it, and that is left"),
        refused=_or_null(_text("what the table does not accept, and why")),
        fallback=_or_null(_object("the fallback", **row, active=_flag("it is in use"))),
        reals=_list(server),
        others=_list(_object("a row that is nobody's declared here", **row)),
        config=_text("file and line"),
        **more,
    )


def _explained_in_service() -> Schema:
    return _object("a real server, with the reasons", **SERVER, why=_list(_ref("Why")))


OVERRIDES: Mapping[str, Schema] = {
    "overrides": _list(_ref("Override")),
    "unsaved": _text("why the overrides would not live through a restart; empty if they would"),
}
IN_FORCE: Mapping[str, Schema] = {
    "table_error": _or_null(_text("why it is not in the table yet; it will be once the table is back")),
    "unsaved": OVERRIDES["unsaved"],
}
STATUS = _object(
    "everything that is believed",
    healthd=_text("version"),
    pid=_count(),
    version=_count("of this document"),
    log={"type": "object", "description": "how the log fares"},
    hooks=_list({"type": "object"}, "how each hook fares: delivered, failed, dropped, queued, retries, last_error"),
    table=_object("the kernel's table", ok=_flag(), error=_or_null(_text()), reads=_count(), writes=_count()),
    prober={"type": "object", "description": "what the prober did in its last second; times in milliseconds"},
    services=_list(_service(_ref("Server"))),
    **OVERRIDES,
)
DONE = _object("what came of it", ok=_flag(), message=_text())

NAME = {
    "name": "name",
    "in": "query",
    "description": "SERVICE, SERVER, HOST, or twice: SERVICE and SERVER",
    "schema": _text(),
}
COUNTERS = {"name": "counters", "in": "query", "description": "read the table's counters", "schema": _text()}
OF_EVENTS = [
    NAME,
    {"name": "after", "in": "query", "description": "events with a higher id", "schema": _count()},
    {"name": "since", "in": "query", "description": "seconds since the epoch", "schema": _number()},
    {"name": "limit", "in": "query", "description": "the newest so many", "schema": _count()},
]

Told = tuple[str, list[Schema], Schema | None, Schema]
"""Summary, parameters, schema of the request's body, schema of the answer."""

OPERATIONS: Mapping[tuple[str, str], Told] = {
    ("GET", "/v1/caller"): (
        "as whom one asks",
        [],
        None,
        _object("oneself", name=_text(), may_write=_flag(), healthd=_text("version")),
    ),
    ("GET", "/v1/status"): ("everything that is believed", [COUNTERS], None, STATUS),
    ("GET", "/v1/servers"): (
        "some servers",
        [NAME, COUNTERS],
        None,
        _object("them", table_error=_or_null(_text()), servers=_list(_ref("ServerOfService"))),
    ),
    ("GET", "/v1/explain"): (
        "why servers, or a service, are as they are",
        [NAME],
        None,
        {
            "oneOf": [
                _object("of servers", servers=_list(_ref("ExplainedServer"))),
                _object("of a service", services=_list(_service(_explained_in_service(), text=_text("in prose")))),
            ]
        },
    ),
    ("GET", "/v1/events"): (
        "what happened",
        OF_EVENTS,
        None,
        _object("oldest first", events=_list(_ref("Event"))),
    ),
    ("GET", "/v1/events/follow"): (
        "what happened, and then what happens, as server-sent events; Last-Event-ID goes on where one left off",
        OF_EVENTS,
        None,
        _text("text/event-stream; data is an Event without its id"),
    ),
    ("GET", "/v1/overrides"): ("what operators asked for", [], None, _object("them", **OVERRIDES)),
    ("POST", "/v1/overrides"): (
        "have an override in force; answered once the table has it",
        [],
        {
            "type": "object",
            "properties": {
                "names": NAMES,
                "kind": _one_of(OverrideKind),
                "weight": {**WEIGHT, "description": "of kind weight"},
                "why": _text(),
                "who": _text("root may say for whom it asks"),
                "lasting": _number("seconds until it ends by itself"),
                "force": _flag("also if a service is left with fewer usable servers than it must keep"),
            },
            "required": ["names", "kind"],
            "additionalProperties": False,
        },
        _object("it", override=_ref("Override"), **IN_FORCE),
    ),
    ("DELETE", "/v1/overrides"): (
        "end overrides of exactly these names",
        [],
        {
            "type": "object",
            "properties": {"names": NAMES, "kinds": _list(_one_of(OverrideKind), "all if it is not there")},
            "required": ["names"],
            "additionalProperties": False,
        },
        _object("those that ended", ended=_list(_ref("Override")), **IN_FORCE),
    ),
    ("POST", "/v1/check-now"): (
        "ask servers as soon as possible; all of them without names",
        [],
        {"type": "object", "properties": {"names": NAMES}, "additionalProperties": False},
        _object("how much is asked", probes=_count()),
    ),
    ("POST", "/v1/resync"): ("compare with the table now, and try again what it refused", [], None, DONE),
    ("GET", "/v1/config"): (
        "the configuration in force, with every default, without secrets",
        [],
        None,
        _object("it", settings={"type": "object"}, services=_list({"type": "object"}), files=_list(_text())),
    ),
    ("POST", "/v1/reload"): (
        "read the configuration again; only a good one changes anything",
        [{"name": "dry", "in": "query", "description": "only say what it would write", "schema": _text()}],
        None,
        {
            "type": "object",
            "properties": {"ok": _flag(), "message": _text(), "ops": _list(_text(), "what would be written, if dry")},
            "required": ["ok", "message"],
            "additionalProperties": False,
        },
    ),
    ("GET", "/metrics"): ("metrics as Prometheus reads them", [], None, _text("text/plain")),
}


def document() -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        if (route.method, route.path) in OPERATIONS:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "healthd", "version": __version__, "summary": "health checks and weights for IPVS"},
        "paths": paths,
        "components": {"schemas": dict(SCHEMAS)},
    }


def _operation(route: Route) -> Schema:
    summary, parameters, body, answer = OPERATIONS[route.method, route.path]
    kind = {"/v1/events/follow": "text/event-stream", "/metrics": "text/plain"}.get(route.path, "application/json")
    operation: Schema = {
        "summary": summary,
        "description": "for readers" if route.right is Right.READ else "for those who may change things",
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "content": {kind: {"schema": answer}}},
            "default": {"description": "none", "content": {"application/json": {"schema": _ref("Error")}}},
        },
    }
    if body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation
