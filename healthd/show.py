"""The status document -> text for people. Pure.

Much of it is the words of strangers (a server's banner); nothing of that reaches a terminal as more than letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from healthd.log.printable import printable

Document = dict[str, Any]
HEAD = ("REAL SERVER", "STATE", "FOR", "WEIGHT", "ACT", "INACT", "LAST ANSWER")
SILENT = 5.0
"""Seconds without a word from the prober, which says something every second, after which that is worth a line."""
LONGEST_ANSWER = 100


def status_text(document: Document) -> str:
    """The whole status as text: one block for each service."""
    blocks = [_lines(_head(document)), *(_lines(_service(service)) for service in document["services"])]
    return "\n\n".join(blocks)


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(printable(line) for line in lines)


def _head(document: Document) -> Iterator[str]:
    prober, table = document["prober"], document["table"]
    if not table["ok"]:
        yield f"THE TABLE CANNOT BE KEPT: {table['error']}"
        yield "weights are those it had when it could last be asked"
    yield from hooks_in_trouble(document.get("hooks", ()))
    if prober["age"] is None:
        yield f"{prober['probes']} probes, none made yet"
        return
    if prober["age"] > SILENT:
        yield f"THE PROBER HAS SAID NOTHING FOR {ago(prober['age'])}; this was its last second:"
    yield (
        f"{prober['probes']} probes, {prober['passed']} passed, {prober['failed']} failed, "
        f"{prober['inconclusive']} inconclusive in the last second; "
        f"late by {prober['lateness_p99_ms']} ms (p99), {prober['missed']} missed"
    )


def hooks_in_trouble(hooks: Sequence[Document]) -> Iterator[str]:
    """A line for each that has trouble getting rid of what they should tell."""
    for hook in hooks:
        if hook["queued"] and hook["last_error"]:
            waits = f"{hook['queued']} event{' waits' if hook['queued'] == 1 else 's wait'}"
            yield f"{hook['name']}: {waits}; last error: {hook['last_error']}"


def _service(service: Document) -> Iterator[str]:
    marks = [] if service["present"] else ["NOT IN THE TABLE"]
    marks += ["EDITED BY SOMEBODY ELSE"] if service["edited"] else []
    names = dict.fromkeys((service["name"], service["virtual"]))  # one of an ldirectord.cf is called by its address
    yield "  ".join([*names, service["scheduler"], *marks])
    rows = [server_row(real) for real in service["reals"]]
    fallback = service["fallback"]
    if fallback:
        rows.append(_other(fallback, "fallback", "in use" if fallback["active"] else "not needed"))
    rows += [_other(row, "not configured", "") for row in service["others"]]
    yield from aligned([HEAD, *rows])
    for refused in (service["refused"], *(real["refused"] for real in service["reals"])):
        if refused:
            yield f"  ! the table refused to {refused}"


def _other(row: Document, what: str, state: str) -> tuple[str, ...]:
    return (f"{row['address']} ({what})", state, "", _weight(row["weight"]), "", "", "")


def server_row(real: Document) -> tuple[str, ...]:
    """A server as cells under HEAD."""
    name = f"{real['address']} ({real['name']})" if real["name"] else real["address"]
    connections = real["connections"] or {}
    return (
        name,
        _state(real),
        ago(real["for"]) if real["for"] is not None else "-",
        _weight(real["weight"]),
        str(connections.get("active", "-")),
        str(connections.get("inactive", "-")),
        _last(real["checks"]),
    )


def _state(real: Document) -> str:
    words = [real["phase"]]
    words += [why for why in real["reasons"] if why not in ("failed", "unknown")]
    for check in real["checks"]:
        if check["inconclusive"]:
            words.append(f"not asked {check['inconclusive']}x")
        if check["streak"]:
            needed = check["fall"] if check["phase"] == "up" else check["rise"]
            words.append(f"{'failing' if check['phase'] == 'up' else 'passing'} {check['streak']}/{needed}")
    return ", ".join(words)


def _weight(weight: int | None) -> str:
    return "-" if weight is None else str(weight)


def telling(checks: Sequence[Document]) -> Document | None:
    """The check whose answer matters most: the first that was not passed, else the first; None if none was answered."""
    answered = [check for check in checks if check["last"]]
    return next((check for check in answered if check["last"]["outcome"] != "pass"), next(iter(answered), None))


def _last(checks: Sequence[Document]) -> str:
    check = telling(checks)
    if check is None:
        return "none yet" if checks else "not checked"
    last = check["last"]
    detail = last["detail"] if len(last["detail"]) <= LONGEST_ANSWER else f"{last['detail'][:LONGEST_ANSWER]}..."
    return f"{check['kind']} {last['outcome']} {detail} ({last['took_ms']:g} ms)"


def ago(seconds: float) -> str:
    """A duration in its largest whole unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Rows of cells as lines with aligned columns, indented by two."""
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
