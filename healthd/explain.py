"""Why a server, or a service, is as it is: on what evidence, by which rule, and what would bring it back. Pure.

Every explanation is a document; its `text` says the same in prose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from healthd.config.schema import Admin, RealServer, ServiceConfig
from healthd.log.entry import rfc3339
from healthd.overrides import OPERATORS, Override, OverrideKind, covering
from healthd.policy import Because, full_weight, reasons
from healthd.prober.base import Answer, Memories, Probe
from healthd.show import ago
from healthd.state import Kept
from healthd.view import Scene, describe_server, describe_service

Document = dict[str, Any]

SHOWN = 5
"""Answers of the past that the prose tells of."""
UNDO = {
    OverrideKind.DRAIN: "healthd undrain",
    OverrideKind.REMOVE: "healthd undrain",
    OverrideKind.MAINTENANCE: "healthd maintenance off",
    OverrideKind.WEIGHT: "healthd weight configured",
}
"""The command that ends an override; the names follow."""


def explain_server(
    scene: Scene, service: ServiceConfig, real: RealServer, past: Sequence[Kept], memories: Memories
) -> Document:
    """One server. past: its last events, oldest first. memories: answers of its probes that are remembered."""
    probes = {probe.id: probe for probe in scene.roster.assignment.probes}
    ref = (service.key, real.key)
    described = describe_server(scene, service, real, probes)
    watches = scene.roster.assignment.watches.get(ref, ())
    for watch, check in zip(watches, described["checks"], strict=True):
        remembered = memories.get(scene.roster.assignment.probe_of[watch], ())
        check["answers"] = [_answer(one, scene.now) for one in reversed(remembered)]
    document = {
        "service": service.name,
        "virtual": str(service.key),
        **described,
        "full_weight": full_weight(real.spec, scene.states[ref]),
        "written": scene.ledger.written(ref, scene.now),
        "why": list(_why(scene, service, real, described)),
        "comes_back": list(_way_back(scene, service, real, described)),
        "past": [{"id": kept.id, **kept.event} for kept in past],
    }
    return document | {"text": "\n".join(_server_text(document))}


def _answer(answer: Answer, now: float) -> Document:
    """One answer of the past; times in milliseconds but for age."""
    verdict = answer.verdict
    return {
        "outcome": verdict.outcome.value,
        "reason": verdict.reason.value,
        "detail": verdict.detail,
        "age": round(now - answer.at, 3),
        "took_ms": round(answer.took * 1000, 2),
        "connected_ms": _milliseconds(answer.connected),
        "secured_ms": _milliseconds(answer.secured),
        "first_byte_ms": _milliseconds(answer.first_byte),
        "trace": answer.trace,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def explain_service(scene: Scene, service: ServiceConfig) -> Document:
    """One service: what it can serve with, and why it cannot with the rest."""
    probes: Mapping[int, Probe] = {probe.id: probe for probe in scene.roster.assignment.probes}
    document = describe_service(scene, service, probes)
    for real, told in zip(service.reals, document["reals"], strict=True):
        told["why"] = list(_why(scene, service, real, told))
    return document | {"text": "\n".join(_service_text(service, document))}


# --- why --------------------------------------------------------------------------------------------------------


def _why(scene: Scene, service: ServiceConfig, real: RealServer, told: Document) -> Iterator[Document]:
    """Each reason why a server is not at its configured weight, with what it stands on."""
    ref = (service.key, real.key)
    found = reasons(scene.states[ref]) | ({Because.EDITED} if Because.EDITED.value in told["reasons"] else set())
    for because in sorted(found, key=lambda because: because.value):
        yield {"reason": because.value, "because": "; ".join(_grounds(because, scene, service, real, told))}


def _grounds(because: Because, scene: Scene, service: ServiceConfig, real: RealServer, told: Document) -> Iterator[str]:
    match because:
        case Because.FAILED:
            yield from (_failed(check) for check in told["checks"] if check["phase"] == "down")
        case Because.UNKNOWN:
            unasked = [check for check in told["checks"] if check["phase"] == "unknown"]
            yield from (f"{check['kind']} of {check['target']} has given no verdict yet" for check in unasked)
        case Because.REFUSED:
            yield f"the table refused to {told['refused']}"
        case Because.EDITED:
            yield "somebody else edited its row, and `drift` says to leave that"
        case _:
            yield from _asked(because, scene, service, real)


def _failed(check: Document) -> str:
    """What took it down: since the last failure may be long ago, the rule is told, and the last answer."""
    last = check["last"]
    said = f"last answer {ago(last['age'])} ago: {last['outcome']} ({last['reason']}) {last['detail']}" if last else ""
    return f"{check['kind']} of {check['target']} failed {check['fall']} times in a row" + (f", {said}" if said else "")


ASKING = {
    Because.DRAINED: (Admin.DRAINED, OverrideKind.DRAIN),
    Because.MAINTENANCE: (Admin.MAINTENANCE, OverrideKind.MAINTENANCE),
    Because.REMOVED: (Admin.REMOVED, OverrideKind.REMOVE),
    Because.REWEIGHTED: (None, OverrideKind.WEIGHT),
}


def _asked(because: Because, scene: Scene, service: ServiceConfig, real: RealServer) -> Iterator[str]:
    """Who asked for a state: operators, maintenance files, the configuration."""
    admin, kind = ASKING[because]
    for override in covering(scene.overrides, service, real):
        if override.kind is kind:
            yield _override(override)
    for source, wish in sorted(scene.roster.wishes_for((service.key, real.key)).items()):
        if source != OPERATORS and wish.admin is admin:
            yield f"{source}: {wish.why}"
    if admin is not None and real.admin is admin:
        yield f"admin = {admin.value!r} at {real.place}"
    if admin is not None and service.admin is admin:
        yield f"admin = {admin.value!r} of the service, at {service.place}"


def _override(override: Override) -> str:
    return f"{override}, asked for by {override.wish.why}"


# --- the way back -----------------------------------------------------------------------------------------------


def _way_back(scene: Scene, service: ServiceConfig, real: RealServer, told: Document) -> Iterator[str]:
    """Everything that must happen until the server has its configured weight."""
    for check in told["checks"]:
        if check["phase"] != "up":
            yield _passes(check)
    yield from dict.fromkeys(map(_undoing, covering(scene.overrides, service, real)))
    for source, wish in sorted(scene.roster.wishes_for((service.key, real.key)).items()):
        if source != OPERATORS:
            yield f"an end of this: {source}: {wish.why}"
    for what, admin in ((real.place, real.admin), (service.place, service.admin)):
        if admin is not Admin.ENABLED:
            yield f"`admin` changed at {what}, and a reload"
    if told["refused"]:
        yield "the table must take its row; it is tried again by itself, and at once by `healthd resync`"


def _undoing(override: Override) -> str:
    """The command that ends an override."""
    names = " ".join(filter(None, (override.scope.service, override.scope.server)))
    until = "" if override.until is None else f", or {rfc3339(override.until)}"
    return f"`{UNDO[override.kind]} {names}`{until}"


def _passes(check: Document) -> str:
    """How many passes are needed, and when the last of them can be there at the earliest."""
    needed = (check["rise"] if check["phase"] == "down" else 1) - check["streak"]
    pace = check["fast"] if check["fast"] is not None else check["interval"]
    first = max(0.0, pace - check["last"]["age"]) if check["last"] else pace
    times = "one pass" if needed == 1 else f"{needed} passes in a row"
    return f"{times} of {check['kind']} of {check['target']}, in {first + (needed - 1) * pace:.1f} s at the earliest"


# --- prose ------------------------------------------------------------------------------------------------------


def _server_text(told: Document) -> Iterator[str]:
    name = f"{told['address']} ({told['name']})" if told["name"] else told["address"]
    lasting = "" if told["for"] is None else f" for {ago(told['for'])}"
    yield f"{name} of {told['service']} ({told['virtual']}) is {told['phase']}{lasting}"
    yield f"  weight: {_weight(told)}"
    for why in told["why"]:
        yield f"  {why['reason']}: {why['because']}"
    for check in told["checks"]:
        yield f"  {_check(check)}"
        yield from _answers(check["answers"])
    if told["connections"]:
        counts = told["connections"]
        yield f"  connections: {counts['active']} active, {counts['inactive']} inactive"
    for step in told["comes_back"]:
        yield f"  to come back: {step}"
    yield f"  configured at {told['config']}"
    for event in told["past"][-5:]:
        yield f"  {event['at']} {event['message']}"


def _weight(told: Document) -> str:
    has = "no row in the table" if told["weight"] is None else f"{told['weight']} in the table"
    parts = [has, f"{told['configured_weight']} configured"]
    if told["asked_weight"] is not None:
        parts.append(f"{told['asked_weight']} asked for by its checks")
    if told["ordered_weight"] is not None:
        parts.append(f"{told['ordered_weight']} ordered")
    if told["written"] is not None:
        parts.append(f"written {ago(told['written'])} ago")
    return ", ".join(parts)


def _check(check: Document) -> str:
    pace = f"every {check['interval']:g} s"
    if check["fast"] is not None:
        pace += f", {check['fast']:g} s in doubt"
    rule = f"rise {check['rise']}, fall {check['fall']}"
    head = f"{check['kind']} of {check['target']}: {check['phase']} ({pace}, timeout {check['timeout']:g} s, {rule})"
    if check["streak"]:
        limit, what = (check["fall"], "failures") if check["phase"] == "up" else (check["rise"], "passes")
        head += f"; {check['streak']} of {limit} {what} in a row"
    last = check["last"]
    if last is None:
        return f"{head}; not asked yet"
    return (
        f"{head}; {ago(last['age'])} ago {last['outcome']} ({last['reason']}) {last['detail']}"
        f" in {last['took_ms']:g} ms"
    )


def _answers(answers: Sequence[Document]) -> Iterator[str]:
    """The answers before, newest first, and what was said in the newest of which that is known."""
    for answer in answers[:SHOWN]:
        phases = (("connected", "connected_ms"), ("TLS", "secured_ms"), ("first byte", "first_byte_ms"))
        steps = [f"{word} after {answer[key]:g} ms" for word, key in phases if answer[key] is not None]
        took = ", ".join([*steps, f"took {answer['took_ms']:g} ms"])
        yield f"    {ago(answer['age'])} ago: {answer['outcome']} ({answer['reason']}) {answer['detail']}; {took}"
    words = next((answer for answer in answers if answer["trace"]), None)
    if words is not None:
        yield f"    what was said {ago(words['age'])} ago:"
        yield from (f"      {line}" for line in words["trace"].splitlines())


def _service_text(service: ServiceConfig, told: Document) -> Iterator[str]:
    serving = [real for real in told["reals"] if real["weight"]]
    yield f"{told['name']} ({told['virtual']}) serves with {len(serving)} of {len(told['reals'])} servers"
    if not told["present"]:
        yield "  it is not in the table" + (f": the table refused to {told['refused']}" if told["refused"] else "")
    if told["fallback"]:
        yield f"  fallback {told['fallback']['address']} is {'in use' if told['fallback']['active'] else 'not needed'}"
    for real in told["reals"]:
        why = "; ".join(f"{each['reason']}: {each['because']}" for each in real["why"]) or "nothing ails it"
        yield f"  {real['address']} is {real['phase']}, {_has(real)}: {why}"
    yield f"  configured at {service.place}"


def _has(real: Document) -> str:
    return "no row" if real["weight"] is None else f"weight {real['weight']}"
