"""The status document -> text for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Document = dict[str, Any]
HEAD = ("REAL SERVER", "STATE", "FOR", "WEIGHT", "ACT", "INACT", "LAST ANSWER")


def status_text(document: Document) -> str:
    """The whole status as text: one block for each service."""
    blocks = [_head(document), *(_service(service) for service in document["services"])]
    return "\n\n".join(block for block in blocks if block)


def _head(document: Document) -> str:
    prober, table = document["prober"], document["table"]
    lines = [] if table["ok"] else [f"THE TABLE CANNOT BE KEPT: {table['error']}"]
    if prober["age"] is None:
        return "\n".join([*lines, f"{prober['probes']} probes, none made yet"])
    lines.append(
        f"{prober['probes']} probes, {prober['passed']} passed, {prober['failed']} failed, "
        f"{prober['inconclusive']} inconclusive in the last second; "
        f"late by {prober['lateness_p99_ms']} ms (p99), {prober['missed']} missed"
    )
    return "\n".join(lines)


def _service(service: Document) -> str:
    absent = "" if service["present"] else "  NOT IN THE TABLE"
    title = f"{service['name']}  {service['virtual']}  {service['scheduler']}{absent}"
    rows = [_server(real) for real in service["reals"]]
    fallback = service["fallback"]
    if fallback:
        state = "in use" if fallback["active"] else "not needed"
        rows.append((f"{fallback['address']} (fallback)", state, "", _weight(fallback["weight"]), "", "", ""))
    return "\n".join([title, *aligned([HEAD, *rows])])


def _server(real: Document) -> tuple[str, ...]:
    name = f"{real['address']} ({real['name']})" if real["name"] else real["address"]
    connections = real["connections"] or {}
    return (
        name,
        _state(real),
        _ago(real["for"]),
        _weight(real["weight"]),
        str(connections.get("active", "-")),
        str(connections.get("inactive", "-")),
        _last(real["checks"]),
    )


def _state(real: Document) -> str:
    words = [real["phase"]]
    words += [why for why in real["reasons"] if why not in ("failed", "unknown")]
    for check in real["checks"]:
        if check["streak"]:
            needed = check["fall"] if check["phase"] == "up" else check["rise"]
            words.append(f"{'failing' if check['phase'] == 'up' else 'passing'} {check['streak']}/{needed}")
    return ", ".join(words)


def _weight(weight: int | None) -> str:
    return "-" if weight is None else str(weight)


def _last(checks: Sequence[Document]) -> str:
    """The answer that matters most: the first one that is not a pass, else the first."""
    answers = [(check["kind"], check["last"]) for check in checks if check["last"]]
    if not answers:
        return "none yet" if checks else "not checked"
    kind, last = next((answer for answer in answers if answer[1]["outcome"] != "pass"), answers[0])
    return f"{kind} {last['outcome']} {last['detail']} ({last['took_ms']:g} ms)"


def _ago(seconds: float) -> str:
    """A duration in its largest whole unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Rows of cells as lines with aligned columns, indented by two."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
