"""What ldirectord has in memory, from its own program and from our reading, in one form."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from healthd.config.ldirectord.listing import Listing
from healthd.config.ldirectord.loading import text_of
from healthd.config.ldirectord.names import ThisMachine
from healthd.config.ldirectord.reading import read_stock
from healthd.config.ldirectord.values import Fallback, Real, Stock, Virtual
from healthd.config.problems import Severity
from healthd.model import Family

PROGRAM = Path("/usr/sbin/ldirectord")
DRIVER = Path(__file__).parent / "oracle.pl"
_FORWARD = {"gate": "-g", "masq": "-m", "ipip": "-i"}
_PROTO = {"tcp": "-t", "udp": "-u", "fwm": "-f"}
_OPTIONAL = (
    "checkinterval", "checkport", "virtualhost", "load", "persistent", "netmask", "schedflags", "fallbackcommand",
    "quiescent", "cleanstop", "emailalert", "emailalertfreq", "monitorfile", "smtp", "servicename", "comment",
    "server", "service",
)  # fmt: skip
_ALWAYS = (
    "port", "protocol", "scheduler", "checktype", "num_connects", "checkcommand", "checktimeout", "negotiatetimeout",
    "checkcount", "failurecount", "request", "receive", "httpmethod", "login", "passwd", "database", "secret", "ops",
    "flags",
)  # fmt: skip
_GLOBAL = (
    "autoreload", "callback", "checkcount", "checkinterval", "checktimeout", "cleanstop", "emailalert",
    "emailalertfreq", "emailalertfrom", "failurecount", "fallbackcommand", "fork", "logfile", "maintenancedir",
    "negotiatetimeout", "quiescent", "readdquiescent", "smtp", "supervised",
)  # fmt: skip


class Machine(ThisMachine):
    """Our machine under the name that the oracle has."""

    def hostname(self) -> str:
        """As oracle.pl has it."""
        return "oracle.example"


def ask(files: Sequence[Path]) -> list[dict[str, Any]]:
    """What ldirectord makes of files, all in one process."""
    told = subprocess.run(
        ["perl", str(DRIVER), str(PROGRAM)],
        input="".join(f"{file}\n" for file in files).encode(),
        capture_output=True,
        timeout=300,
        check=True,
    )
    return [json.loads(text_of("", line)[0]) for line in told.stdout.split(b"\n") if line]


def ask_texts(texts: Sequence[str]) -> list[dict[str, Any]]:
    """What ldirectord makes of texts, in one form with `ours`."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.cf" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_bytes(text.encode())
        return [normal(answer) for answer in ask(files)]


def normal(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of the oracle with all numbers as texts, and the errors alone of its messages."""
    errors = [(m["line"], m["text"].strip()) for m in answer["messages"] if m["kind"] == "Error"]
    warnings = [(m["line"], m["text"].strip()) for m in answer["messages"] if m["kind"] == "Warning"]
    found = {"ok": answer["ok"], "errors": errors, "warnings": warnings, "died": answer.get("died")}
    return found | (
        {"globals": texts(answer["globals"]), "virtuals": texts(answer["virtuals"])} if answer["ok"] else {}
    )


def texts(value: Any) -> Any:
    """A value with every number as text."""
    match value:
        case dict():
            return {name: texts(one) for name, one in value.items()}
        case list():
            return [texts(one) for one in value]
        case int() | float() if not isinstance(value, bool):
            return str(value)
    return value


def ours(text: str, name: str = "test.cf") -> dict[str, Any]:
    """What our strict reading makes of a text, in the form of `normal`."""
    stock, problems = read_stock(Listing(name, text, {}), Machine(), strict=True)
    errors = [(p.span.line, p.text) for p in problems if p.severity is Severity.ERROR]
    warnings = [(p.span.line, p.text) for p in problems if p.severity is Severity.WARNING]
    found: dict[str, Any] = {"ok": stock is not None, "errors": errors, "warnings": warnings, "died": None}
    return found if stock is None else found | document(stock)


def document(stock: Stock) -> dict[str, Any]:
    """Stock values as the oracle tells them."""
    common = stock.globals
    told = {name: getattr(common, name) for name in _GLOBAL}
    told["execute"] = sorted(common.execute)
    told["emailalertstatus"] = str(common.emailalertstatus.value)
    for name in ("fallback", "fallback6"):
        both = getattr(common, name)
        told[name] = both and dict(zip(("tcp", "udp"), map(_fallback, both), strict=True))
    return {"globals": told, "virtuals": [_virtual(one) for one in stock.virtuals]}


def _fallback(one: Fallback) -> dict[str, Any]:
    fixed = {"l-threshold": "0", "u-threshold": "0", "weight": "1"}
    return {"server": one.server, "port": one.port, "forward": one.forward, **fixed}


def _virtual(one: Virtual) -> dict[str, Any]:
    told = {name: getattr(one, name) for name in _ALWAYS}
    told |= {name: value for name in _OPTIONAL if (value := getattr(one, name)) is not None}
    told |= {"addressfamily": "2" if one.family is Family.IPV4 else "10", "proto": _PROTO[one.protocol]}
    if one.fwm is not None:
        told["fwm"] = one.fwm
    if one.fallback is not None:
        told["fallback"] = _fallback(one.fallback)
    if one.emailalertstatus is not None:
        told["emailalertstatus"] = str(one.emailalertstatus.value)
    told["real"] = [_real(real) for real in one.real]
    return told


def _real(one: Real) -> dict[str, Any]:
    told = {
        name: str(getattr(one, name)) for name in ("server", "port", "forward", "weight", "request", "receive", "url")
    }
    told |= {"failcount": "0", "forw": _FORWARD[one.forward], "num_connects": str(one.num_connects)}
    told |= {} if one.lower is None else {"l-threshold": str(one.lower)}
    return told | ({} if one.upper is None else {"u-threshold": str(one.upper)})
